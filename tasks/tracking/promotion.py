"""Moves the alias `champion`: all of a move or nothing, with an audit line, and the way back.

A move is noted on the registered model (`retune.move`), then the alias is set, then the note
becomes the version's tags. Setting the alias is what counts: a crash before it leaves the old
champion and a note that the next move throws away; after a crash later on, the next move only
writes the tags. The line on the version, `retune.audit.<time>`:

    {"action": "promote", "model": "support-summarizer", "version": "4", "was": "3",
     "who": "ana@gpu-1", "when": "2027-03-01T08:00:00.123456Z", "evidence_run": "5d41...",
     "reasons": ["rougeL rose from 0.05 to 0.34 (...).", ...], "override": ""}
"""

import getpass
import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from tasks.errors import BadInput, BadModel, Overtaken
from tasks.lock import registry_lock
from tasks.tracking import registry
from tasks.tracking.decision import Decision
from tasks.tracking.registry import CHAMPION, Version, by_alias, by_version

MOVE_TAG = "retune.move"
AUDIT_TAG = "retune.audit."
REPLACED_TAG = "retune.replaced"
"""On a champion: the champions before it that a rollback leads back to, the last one first."""
WITHDRAWN_TAG = "retune.withdrawn"
"""On a version that a rollback took out of service: by whom and when."""
FORWARD = "rollbacks only lead back; `retune promote MODEL` judges the challenger"


@dataclass(frozen=True)
class Move:
    """One move of the alias `champion`.

    Attributes:
        action: What moved it.
        model: The registered model.
        version: The champion from now on.
        was: The champion until now; empty where there was none.
        who: User and machine, or who approved.
        when: UTC, ISO 8601.
        evidence_run: MLflow run that the evidence is kept with.
        reasons: Of the decision, or the reason for the rollback.
        override: Why a version that failed a gate was promoted all the same; else empty.
    """

    action: Literal["promote", "rollback"]
    model: str
    version: str
    was: str
    who: str
    when: str
    evidence_run: str
    reasons: tuple[str, ...]
    override: str = ""


def promote(
    version: Version,
    decision: Decision,
    judged_against: Version | None,
    override: str = "",
    who: str = "",
) -> Move | None:
    """Make a version the champion, as was decided.

    Args:
        version: The version.
        decision: On it; for a refusal there must be an override.
        judged_against: The champion that the decision was about.
        override: Reason to promote what failed a gate.
        who: Who approved it; this process's user when left out.

    Returns:
        What was done; None where it is the champion already.

    Raises:
        Overtaken: Another version is champion by now.
    """
    assert decision.promote or override, "a version that failed a gate"
    with registry_lock(version.model):
        champion = settled_champion(version.model)
        if _number(champion) == version.version:
            return None
        if _number(champion) != _number(judged_against):
            raise _overtaken(version, champion, judged_against)
        replaced = [champion.version, *_replaced(champion)] if champion else []
        move = Move(
            "promote", version.model, version.version, _number(champion), who or whoami(),
            _now(), version.run_id, decision.reasons, override,
        )  # fmt: skip
        _carry_out(move, replaced)
    return move


def rollback(model: str, to: str | None = None, reason: str = "") -> Move:
    """Make the version champion again that was it before; again and again, ever further back.

    Args:
        model: The registered model.
        to: Version to go back to; the last champion when left out.
        reason: For the audit line.

    Raises:
        BadInput: There is no champion, or none came before it, or `to` was none of them.
    """
    with registry_lock(model):
        champion = settled_champion(model)
        if champion is None:
            raise BadModel(model, "a model with a champion", "no champion")
        before = [number for number in _replaced(champion) if _exists(model, number)]
        if not before:
            found = f"version {champion.version}, the first"
            mend = FORWARD
            if not audit(champion):
                found = f"version {champion.version}, which `retune promote` did not make champion"
                mend = "whoever moved the alias by hand moves it back by hand"
            raise BadInput(model, "a champion that replaced another version", found, mend)
        target = before[0] if to is None else to
        if target not in before:
            expected = f"a version that was champion before: {', '.join(dict.fromkeys(before))}"
            found = f"version {target}, which was not"
            raise BadInput(f"{model}/{target}", expected, found, FORWARD)
        version = by_version(model, target)
        reasons = (reason or f"Version {champion.version} is taken out of service.",)
        move = Move(
            "rollback", model, target, champion.version, whoami(), _now(), version.run_id, reasons
        )
        _carry_out(move, before[before.index(target) + 1 :])
    return move


def settled_champion(model: str) -> Version | None:
    """The champion, after whatever a crash left half-done is finished or forgotten."""
    champion = by_alias(model, CHAMPION)
    note = registry.model_tag(model, MOVE_TAG)
    if note is None:
        return champion
    noted = json.loads(note)
    move = Move(**{**noted["move"], "reasons": tuple(noted["move"]["reasons"])})
    if champion and champion.version == move.version:
        _write_down(move, noted["replaced"])
        champion = by_alias(model, CHAMPION)
    registry.delete_model_tag(model, MOVE_TAG)
    return champion


def rival(model: str, key: str) -> Version | None:
    """The champion that a version is to be judged against.

    Args:
        model: The registered model.
        key: Of the version; where it is champion itself, since a crash perhaps, its rival is the
            one that it replaced.
    """
    with registry_lock(model):
        champion = settled_champion(model)
    if champion and champion.tags.get(registry.KEY_TAG) == key:
        before = predecessor(champion)
        return by_version(model, before) if before else None
    return champion


def predecessor(champion: Version) -> str | None:
    """Number of the version that a rollback would lead back to; None where there is none."""
    return next((n for n in _replaced(champion) if _exists(champion.model, n)), None)


def audit(version: Version) -> list[Move]:
    """The moves that made a version champion, the first one first."""
    lines = sorted(item for item in version.tags.items() if item[0].startswith(AUDIT_TAG))
    moves = [json.loads(line) for _, line in lines]
    return [Move(**{**move, "reasons": tuple(move["reasons"])}) for move in moves]


def since(champion: Version) -> str:
    """Since when, and by whom, a version is champion: " since 2027-... by ana"; "" if not known."""
    moves = audit(champion)
    return f" since {moves[-1].when} by {moves[-1].who}" if moves else ""


def whoami() -> str:
    """User and machine of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user needs no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _carry_out(move: Move, replaced: list[str]) -> None:
    note = json.dumps({"move": asdict(move), "replaced": replaced}, ensure_ascii=False)
    registry.set_model_tag(move.model, MOVE_TAG, note)
    registry.set_alias(by_version(move.model, move.version), CHAMPION)
    _write_down(move, replaced)
    registry.delete_model_tag(move.model, MOVE_TAG)


def _write_down(move: Move, replaced: list[str]) -> None:
    """Put a move that has taken place into the tags; may happen twice."""
    line = json.dumps(asdict(move), ensure_ascii=False)
    tags = {REPLACED_TAG: ",".join(replaced), f"{AUDIT_TAG}{move.when}": line}
    registry.set_tags(by_version(move.model, move.version), {**tags, WITHDRAWN_TAG: ""})
    if move.action == "rollback":
        withdrawn = f"{move.who} at {move.when}"
        registry.set_tags(by_version(move.model, move.was), {WITHDRAWN_TAG: withdrawn})


def _overtaken(version: Version, champion: Version | None, expected: Version | None) -> Overtaken:
    found = "no champion"
    if champion:
        found = f"version {champion.version}"
        found += f", champion{known}" if (known := since(champion)) else ""
    return Overtaken(
        f"{version.model}/{version.version}",
        f"the champion that it was judged against: version {_number(expected) or 'none'}",
        found,
        "run the command again: it is judged against the new champion",
    )


def _replaced(champion: Version) -> list[str]:
    return [number for number in champion.tags.get(REPLACED_TAG, "").split(",") if number]


def _number(version: Version | None) -> str:
    return version.version if version else ""


def _exists(model: str, number: str) -> bool:
    try:
        by_version(model, number)
    except BadModel:
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # fit for the name of a tag
