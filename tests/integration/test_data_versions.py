"""Data kept by DVC: pushed, cloned, pulled and read at a revision, from a folder and from S3."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from dvc.repo import Repo
from moto.server import ThreadedMotoServer
from scmrepo.git import Git

from tasks.stage import digest_of_file, read_json
from tests.ingesting import CHATS, jsonl, records, run

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of DVC's and moto's own code
]
FILE = "chats.jsonl"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ana",
    "AWS_SECRET_ACCESS_KEY": "geheim",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of a server that speaks S3, with the bucket `data`; a user's variables for it."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        host, port = server.get_host_and_port()
        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="data")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module", params=["folder", "s3"])
def registry(
    request: pytest.FixtureRequest, s3: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A Git repository whose data are nowhere but in DVC's remote: 2 rows at v1, 3 rows now."""
    folder = tmp_path_factory.mktemp("registry")
    url = "s3://data/dvc" if request.param == "s3" else str(tmp_path_factory.mktemp("remote"))
    options = {"endpointurl": s3} if request.param == "s3" else {}
    with Git.init(str(folder)) as git, Repo.init(str(folder)) as repo:
        with repo.config.edit() as config:
            config["remote"] = {"store": {"url": url, **options}}
            config["core"]["remote"] = "store"
        for count, tag in ((2, "v1"), (3, "v2")):
            jsonl(folder / FILE, CHATS[:count])
            repo.add(str(folder / FILE))
            git.add([str(folder / name) for name in (f"{FILE}.dvc", ".dvc", ".gitignore")])
            git.commit(tag)
            git.tag(tag)
    dvc(folder, "push", "--all-tags")
    shutil.rmtree(folder / ".dvc" / "cache")
    (folder / FILE).unlink()
    return folder


def dvc(folder: Path, *arguments: str) -> None:
    called(folder, sys.executable, "-m", "dvc", *arguments)


def called(folder: Path, *command: str) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_a_fresh_clone_has_the_same_data(registry: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    called(tmp_path, "git", "clone", "--quiet", str(registry), str(clone))
    assert not (clone / FILE).exists()
    dvc(clone, "pull")
    original = jsonl(tmp_path / "original.jsonl", CHATS)
    assert digest_of_file(clone / FILE) == digest_of_file(Path(original))
    from_clone = run(tmp_path / "a", {"dvc": {"repo": str(clone), "path": FILE}})
    assert from_clone.digest == run(tmp_path / "b", {"path": original}).digest


def test_another_repository_is_read_at_a_revision(registry: Path, tmp_path: Path) -> None:
    source = {"repo": str(registry), "path": FILE}
    first = run(tmp_path, {"dvc": {**source, "rev": "v1"}})
    commit = called(registry, "git", "rev-parse", "v1")
    assert len(records(first)) == 2
    assert read_json(first.path / "dvc.json") == {"toy": {**source, "commit": commit}}
    newest = run(tmp_path / "newest", {"dvc": source})
    assert len(records(newest)) == 3
    assert commit_of(newest) == called(registry, "git", "rev-parse", "v2")
    assert run(tmp_path, {"dvc": {**source, "rev": "v1"}}).state == "reused"


def commit_of(artifact: Any) -> str:
    return str(read_json(artifact.path / "dvc.json")["toy"]["commit"])
