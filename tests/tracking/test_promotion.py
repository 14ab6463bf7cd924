"""Moves of the alias `champion`: their audit lines, crashes in the middle, races, the way back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tasks.errors import BadInput, Overtaken
from tasks.tracking import promotion, registry
from tasks.tracking.decision import Decision
from tests.tracking.conftest import Made

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

REPOSITORY = Path(__file__).parents[2]
GOOD = Decision(True, ("It is better.",))
BAD = Decision(False, ("It is worse.",))

DIE_AT = """
import os, signal, sys
from tasks.tracking import promotion, registry
from tasks.tracking.decision import Decision

def die_before(call):
    def counted(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)
    return counted

print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        left = int(line)
        for name in ("set_model_tag", "set_alias", "_set_tag", "delete_model_tag"):
            setattr(registry, name, die_before(getattr(registry, name)))
        champion = registry.by_alias("summarizer", "champion")
        version = registry.by_version("summarizer", "2")
        promotion.promote(version, Decision(True, ("It is better.",)), champion)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status), flush=True)
"""
RACE = """
import sys
from tasks.errors import Overtaken
from tasks.tracking import promotion, registry
from tasks.tracking.decision import Decision

champion = registry.by_alias("summarizer", "champion")
version = registry.by_version("summarizer", sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    promotion.promote(version, Decision(True, ("It is better.",)), champion)
    print("won", flush=True)
except Overtaken as error:
    print("told:", str(error).replace("\\n", " "), flush=True)
"""


@contextmanager
def program(code: str, *arguments: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """A process of its own on the same registry: what it reads and what it says."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin and process.stdout
    with process:
        assert process.stdout.readline() == "ready\n"
        yield process.stdin, process.stdout


def champion() -> str | None:
    found = registry.by_alias("summarizer", "champion")
    return found.version if found else None


def promoted(version: registry.Version, override: str = "") -> promotion.Move | None:
    now = registry.by_alias("summarizer", "champion")
    return promotion.promote(version, BAD if override else GOOD, now, override)


def lines(number: str) -> list[tuple[str, str, str]]:
    moves = promotion.audit(registry.by_version("summarizer", number))
    return [(move.action, move.was, move.override) for move in moves]


def test_a_promotion_leaves_its_audit_line(made: Made, run_id: str) -> None:
    assert promotion.rival("summarizer", "a") is None
    first, second = made("a"), made("b")
    promoted(first)
    move = promoted(second, override="The customer wants it.")
    [kept] = promotion.audit(registry.by_version("summarizer", "2"))
    assert kept == move
    assert (kept.version, kept.was, kept.evidence_run) == ("2", "1", run_id)
    assert kept.who.partition("@")[0] and kept.when.endswith("Z")
    assert (kept.reasons, kept.override) == (("It is worse.",), "The customer wants it.")
    assert promoted(second) is None  # it is champion already
    assert lines("2") == [("promote", "1", "The customer wants it.")]
    with pytest.raises(AssertionError):
        promotion.promote(first, BAD, second)
    # A version is judged against the champion, and the champion against the one before.
    assert promotion.rival("summarizer", "a") == registry.by_version("summarizer", "2")
    assert promotion.rival("summarizer", "b") == registry.by_version("summarizer", "1")


def test_rollbacks_walk_back_and_never_to_and_fro(made: Made) -> None:
    with pytest.raises(BadInput, match="no champion"):
        promotion.rollback("summarizer")
    first, second, third = (made(key) for key in "abc")
    promoted(first)
    with pytest.raises(BadInput, match="version 1, the first"):
        promotion.rollback("summarizer")
    for version in (second, third, second):
        promoted(version)
    with pytest.raises(BadInput, match="champion before: 3, 2, 1"):
        promotion.rollback("summarizer", to="4")
    back = []
    for _ in range(3):
        move = promotion.rollback("summarizer", reason="Too slow.")
        back.append((move.was, move.version))
    assert back == [("2", "3"), ("3", "2"), ("2", "1")]
    with pytest.raises(BadInput, match="version 1, the first"):
        promotion.rollback("summarizer")
    assert lines("1") == [("promote", "", ""), ("rollback", "2", "")]
    assert promotion.audit(registry.by_version("summarizer", "1"))[1].reasons == ("Too slow.",)

    # A version that was taken out of service bears that mark until it is champion again.
    withdrawn = registry.by_version("summarizer", "3").tags[promotion.WITHDRAWN_TAG]
    assert withdrawn.startswith(promotion.whoami())
    promoted(third)
    assert not registry.by_version("summarizer", "3").tags[promotion.WITHDRAWN_TAG]
    assert promotion.rollback("summarizer", to="1").was == "3"


def test_a_rollback_passes_over_versions_that_are_gone(made: Made) -> None:
    from mlflow.tracking import MlflowClient

    for key in "abc":
        promoted(made(key))
    MlflowClient().delete_model_version("summarizer", "2")
    assert promotion.rollback("summarizer").version == "1"


def test_an_alias_that_was_moved_by_hand_is_moved_back_by_hand(made: Made) -> None:
    promoted(made("a"))
    registry.set_alias(made("b"), registry.CHAMPION)
    with pytest.raises(BadInput, match="version 2, which `retune promote` did not make champion"):
        promotion.rollback("summarizer")


def test_killed_at_any_moment_the_champion_is_the_old_or_the_new_one(made: Made) -> None:
    first, _ = made("a"), made("b")
    promoted(first)
    ends = []
    with program(DIE_AT) as (told, says):
        for num_writes in range(8):
            before = len(lines("2"))
            told.write(f"{num_writes}\n")
            told.flush()
            killed = int(says.readline()) == 9
            now = champion()
            ends.append((killed, now))
            settled = promotion.settled_champion("summarizer")
            assert settled is not None and settled.version == now
            assert registry.model_tag("summarizer", promotion.MOVE_TAG) is None
            assert len(lines("2")) == before + (now == "2")
            if now == "2":
                assert promotion.predecessor(settled) == "1"
                promotion.rollback("summarizer")
        told.close()
    # The note and the alias are the first two of the writes; the rest are tags.
    assert ends[:2] == [(True, "1"), (True, "1")]
    assert {now for _, now in ends[2:]} == {"2"}
    assert (True, "2") in ends and ends[-1] == (False, "2")


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(made: Made) -> None:
    promoted(made("a"))
    made("b"), made("c")
    with program(RACE, "2") as (one, one_says), program(RACE, "3") as (other, other_says):
        for stdin in (one, other):
            stdin.write("go\n")
            stdin.flush()
        said = [one_says.readline(), other_says.readline()]
    winner = "2" if said[0] == "won\n" else "3"
    assert sorted(said)[1] == "won\n"
    told = sorted(said)[0]
    assert f"found     version {winner}, champion since" in told
    assert f"by {promotion.whoami()}" in told
    assert champion() == winner
    assert lines(winner) == [("promote", "1", "")]
    assert lines({"2": "3", "3": "2"}[winner]) == []


def test_what_was_judged_against_another_champion_is_not_promoted(made: Made) -> None:
    first, second, third = (made(key) for key in "abc")
    promoted(first)
    promoted(second)
    with pytest.raises(Overtaken, match="judged against: version 1"):
        promotion.promote(third, GOOD, first)
    with pytest.raises(Overtaken, match="judged against: version none"):
        promotion.promote(third, GOOD, None)
    assert champion() == "2"


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert promotion.whoami().startswith(f"{os.getuid()}@")
