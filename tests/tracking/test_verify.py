"""A version is verified against what it was, in a database and on a server; what gc spares."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import pytest
from mlflow.tracking import MlflowClient

from tasks.errors import BadModel
from tasks.lock import workspace_lock
from tasks.tracking import promotion, registry, retention
from tasks.tracking.decision import Decision
from tasks.tracking.verify import verify
from tests.registering import pipeline, registered
from tests.tracking.conftest import Made

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

REPOSITORY = Path(__file__).parents[2]
RETUNE = [sys.executable, "-c", "from flows.cli import main; main()"]
WEIGHTS = "artifacts/model/model.safetensors"


def retune(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RETUNE, *arguments],
        cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("where", ["home", "server"])
def test_every_difference_is_named(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(where)
    workspace = Path(os.environ["RETUNE_HOME"]) / "workspaces" / "chat"
    registered(pipeline(workspace))
    version = registry.by_version("summarizer", "1")
    verified = verify(version, tmp_path / "scratch")
    assert verified.differences == verified.notes == ()
    assert verified.artifacts == ("ingest", "template", "split", "train")
    assert verified.files > 20

    [weights] = tmp_path.glob(f"**/models/m-*/artifacts/{WEIGHTS}")
    package = weights.parents[2]
    weights.write_text("other weights")
    (package / "artifacts" / "retune" / "prompts" / "chat.json").unlink()
    (package / "code" / "tasks" / "more.py").write_text("")
    (workspace / "ingest" / "summary.json").write_text("{}")
    (workspace / "train" / "manifest.json").unlink()
    verified = verify(version, tmp_path / "again")
    assert [difference.where for difference in verified.differences] == [
        WEIGHTS,
        "artifacts/retune/prompts/chat.json",
        "code/tasks/more.py",
        f"{workspace}/ingest/summary.json",
    ]
    assert [difference.found for difference in verified.differences][1] == "missing"
    assert verified.differences[2].expected == "not part of it"
    assert verified.notes == (f"{workspace}/train is not there, or of another run",)

    (package / "digests.json").write_text("{}")
    with pytest.raises(BadModel, match=r"summarizer/1\n.*digests.json of the digest"):
        verify(version, tmp_path / "third")


def test_the_commands(home: Path) -> None:
    registered(pipeline(home / "workspaces" / "chat"))
    [shown] = json.loads(retune("models", "--json").stdout)
    assert shown["aliases"] == ["challenger", "champion"]
    assert shown["headline"] == {
        "metric": "rougeL", "value": 0.34, "low": pytest.approx(0.33), "high": pytest.approx(0.35),
        "gain": pytest.approx(0.29),
    }  # fmt: skip
    assert 0 <= shown["age_s"] < 600 and len(shown["lineage"]) == 12
    good = retune("verify", "summarizer@champion", "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["differences"] == []
    [weights] = (home / "mlartifacts").glob(f"**/{WEIGHTS}")
    weights.write_text("other weights")
    bad = retune("verify", "summarizer@champion", "--json")
    assert bad.returncode == 1
    assert [difference["where"] for difference in json.loads(bad.stdout)["differences"]] == [
        WEIGHTS
    ]
    told = retune("gc", "--json")
    assert json.loads(told.stdout) == {"deleted": False, "versions": [], "scratch": []}


def files_of(number: str) -> Path:
    return Path(urlparse(MlflowClient().get_model_version("summarizer", number).source).path)


def test_gc_spares_what_an_alias_or_a_rollback_needs(made: Made, home: Path) -> None:
    good = Decision(True, ("It is better.",))
    versions = [made(key) for key in "abcdefgh"]
    for position in (1, 3):  # 2, then 4 are champions
        promotion.promote(versions[position], good, registry.by_alias("summarizer", "champion"))
    registry.set_alias(versions[4], "challenger")
    registry.set_alias(versions[0], "pilot")  # somebody else's
    folders = {version.version: files_of(version.version) for version in versions}

    found = retention.find_garbage(keep=2)
    assert [version.version for version in found.versions] == ["6", "3"]
    assert all(folder.exists() for folder in folders.values())
    registry.set_alias(versions[5], "pilot")  # meanwhile
    gone = retention.delete(found, keep=2)
    assert [version.version for version in gone.versions] == ["3"]
    left = [version.version for version in registry.all_versions("summarizer")]
    assert left == ["8", "7", "6", "5", "4", "2", "1"]
    assert [number for number, folder in folders.items() if not folder.exists()] == ["3"]
    assert promotion.rollback("summarizer").version == "2"


def test_gc_leaves_alone_what_somebody_else_registered_or_copied(
    made: Made, tmp_path: Path
) -> None:
    client = MlflowClient()
    made("a")
    made("b")
    client.copy_model_version("models:/summarizer/1", "copied")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    client.create_registered_model("others")
    client.create_model_version("others", theirs.as_uri())
    kept, unneeded = files_of("1"), files_of("2")

    found = retention.find_garbage(keep=0)
    assert [(v.model, v.version) for v in found.versions] == [
        ("summarizer", "2"), ("summarizer", "1")
    ]  # fmt: skip
    assert retention.delete(found, keep=0).versions == found.versions
    assert theirs.exists() and registry.has_files("models:/copied/1")
    assert kept.exists() and not unneeded.exists()
    experiments = [found.experiment_id for found in client.search_experiments()]
    [logged] = client.search_logged_models(experiments)
    assert logged.artifact_location == kept.as_uri()


def test_gc_takes_old_scratch_of_workspaces_that_are_free(home: Path) -> None:
    long_ago = time.time() - 8 * 24 * 3600
    paths = [
        home / "scratch" / "old",
        home / "workspaces" / "free" / ".train.scratch",
        home / "workspaces" / "held" / ".train.scratch",
        home / "workspaces" / "free" / ".test.scratch",
        home / "workspaces" / "soon" / ".train.scratch",
    ]
    for path in paths:
        path.mkdir(parents=True)
        (path / "file").touch()
        for entry in (path / "file", path):
            os.utime(entry, (long_ago, long_ago))
    (paths[3] / "file").touch()  # worked on just now
    with workspace_lock(home / "workspaces" / "held"):
        found = retention.find_garbage(keep=1)
        assert set(found.scratch) == {*paths[:2], paths[4]}
        assert all(path.exists() for path in paths)
        with workspace_lock(home / "workspaces" / "soon"):  # meanwhile
            assert set(retention.delete(found, keep=1).scratch) == set(paths[:2])
    assert [path.exists() for path in paths] == [False, False, True, True, True]
