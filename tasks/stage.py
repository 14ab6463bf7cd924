"""What a stage is: inputs in, one folder with a manifest out, reused while it is still valid.

A stage writes into a temporary folder and renames it into place, so a half-written output never
counts. `manifest.json` in the folder says what it was made from:

    {"stage": "split", "version": "1", "key": "9f0c...", "section": {"seed": 7, ...},
     "inputs": {"template": "51ab..."}, "outputs": {"train.parquet": "c03d..."},
     "volatile": {}, "digest": "77e1...", "rows": 1000,
     "counts": {"train": 800, "validation": 100, "test": 100}, "seconds": 1.2}

The key is a hash of stage version, section and input digests. A folder whose manifest has the
same key and whose files still have the digests it names is reused, whichever runner asks.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from tasks.config import Recipe, Section
from tasks.errors import BadInput, BadWorkspace

MANIFEST = "manifest.json"

logger = logging.getLogger("retune")

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Artifact:
    """What a stage made: a folder, and what is in it.

    Attributes:
        stage: Name of the stage.
        path: The folder.
        digest: sha256 over the content of its files, volatile ones left out.
        rows: Records or examples in it; 0 where that means nothing.
        state: Whether this call made it or found it valid.
        seconds: Time it took to make.
        counts: What the stage counted.
    """

    stage: str
    path: Path
    digest: str
    rows: int
    state: Literal["ran", "reused"]
    seconds: float
    counts: Mapping[str, int | float]


@dataclass(frozen=True)
class Inputs:
    """What a stage may read: the artifacts of the stages it needs.

    Attributes:
        workspace: Folder of this recipe's artifacts.
        artifacts: Stage name -> artifact.
    """

    workspace: Path
    artifacts: Mapping[str, Artifact]

    def __getitem__(self, stage: str) -> Path:
        """The folder that `stage` made."""
        return self.artifacts[stage].path


@dataclass(frozen=True)
class Output:
    """Where a stage writes.

    Attributes:
        path: The new folder; renamed into place when the stage is done.
        scratch: A folder that survives a crash, for work that can be resumed; the same for the
            same key, removed when the stage is done.
    """

    path: Path
    scratch: Path


@dataclass(frozen=True)
class Counted:
    """What a stage has to say about what it wrote: rows, and counts by name."""

    rows: int
    counts: Mapping[str, int | float]


def _no_files(section: Any) -> dict[str, str]:
    return {}


def _always(artifact: Artifact) -> bool:
    return True


@dataclass(frozen=True)
class Stage(Generic[S]):
    """A step of the pipeline.

    Attributes:
        name: That of its folder in the workspace.
        version: Changes when the same input would give another output.
        needs: Stages whose artifacts it reads.
        select: Picks the part of a recipe that matters to it, resolved: its section.
        write: Does the work: reads the inputs, writes into the output folder.
        files: Digests of what it reads besides artifacts: name -> digest.
        volatile: Names of files whose content differs from run to run (timings, version
            numbers); hashed for validity, not part of the digest.
        is_current: A last check of a finished artifact, such as whether the registry still has
            the version that it describes.
    """

    name: str
    version: str
    needs: tuple[str, ...]
    select: Callable[[Recipe], S]
    write: Callable[[S, Inputs, Output], Counted]
    files: Callable[[S], dict[str, str]] = _no_files
    volatile: frozenset[str] = frozenset()
    is_current: Callable[[Artifact], bool] = _always

    def run(self, section: S, inputs: Inputs) -> Artifact:
        """Make the artifact, or return the one that is there if it is still valid.

        Raises:
            BadInput: The user's input is unusable; nothing is left half-written.
        """
        input_digests = self._input_digests(section, inputs)
        key = self._key(section, input_digests)
        existing = self._valid(inputs.workspace / self.name, key)
        if existing:
            logger.info("%s: reused, digest %s", self.name, existing.digest[:12])
            return existing
        logger.info("%s: started", self.name)
        return self._produce(section, inputs, input_digests, key)

    def is_valid(self, section: S, inputs: Inputs) -> bool:
        """Whether `run` would reuse what is there."""
        return self._valid(inputs.workspace / self.name, self.key(section, inputs)) is not None

    def key(self, section: S, inputs: Inputs) -> str:
        """What an artifact of this section and these inputs would be known by."""
        return self._key(section, self._input_digests(section, inputs))

    def _input_digests(self, section: S, inputs: Inputs) -> dict[str, str]:
        upstream = {name: inputs.artifacts[name].digest for name in self.needs}
        return upstream | self.files(section)

    def _key(self, section: S, input_digests: Mapping[str, str]) -> str:
        parts = [self.name, self.version, section.model_dump(mode="json"), dict(input_digests)]
        return digest_of_json(parts)

    def _valid(self, folder: Path, key: str) -> Artifact | None:
        manifest = read_manifest(folder)
        if manifest is None or manifest["key"] != key:
            return None
        if digests_of_files(folder) != manifest["outputs"] | manifest["volatile"]:
            logger.warning("%s: files differ from their manifest, made again", self.name)
            return None
        artifact = _artifact(folder, manifest, "reused")
        return artifact if self.is_current(artifact) else None

    def _produce(
        self, section: S, inputs: Inputs, input_digests: Mapping[str, str], key: str
    ) -> Artifact:
        folder = inputs.workspace / self.name
        output = Output(
            path=inputs.workspace / f".{self.name}.partial",
            scratch=inputs.workspace / f".{self.name}.scratch" / key[:16],
        )
        started = time.monotonic()
        try:
            _make_empty(output)
            counted = self.write(section, inputs, output)
            manifest = {
                "stage": self.name,
                "version": self.version,
                "key": key,
                "section": section.model_dump(mode="json"),
                "inputs": dict(input_digests),
                **self._digests(output.path),
                "rows": counted.rows,
                "counts": dict(counted.counts),
                "seconds": round(time.monotonic() - started, 3),
            }
            write_json(output.path / MANIFEST, manifest)
            _replace(output.path, folder)
            shutil.rmtree(output.scratch.parent, ignore_errors=True)
        except (BadInput, OSError) as error:
            shutil.rmtree(output.path, ignore_errors=True)
            if isinstance(error, BadInput):
                raise
            raise BadWorkspace.behind(error, inputs.workspace) or error from None
        artifact = _artifact(folder, manifest, "ran")
        logger.info("%s: %d rows in %.1f s", self.name, artifact.rows, artifact.seconds)
        return artifact

    def _digests(self, folder: Path) -> dict[str, Any]:
        digests = digests_of_files(folder)
        outputs = {name: hashed for name, hashed in digests.items() if name not in self.volatile}
        volatile = {name: hashed for name, hashed in digests.items() if name in self.volatile}
        return {"outputs": outputs, "volatile": volatile, "digest": digest_of_json(outputs)}


def load_artifact(workspace: Path, stage: str) -> Artifact:
    """The artifact of a stage that has run.

    Raises:
        BadWorkspace: It has not.
    """
    manifest = read_manifest(workspace / stage)
    if manifest is None:
        mend = f"run the stage {stage} first, or the whole recipe with `retune run`"
        raise BadWorkspace(str(workspace / stage), "the output of a stage", "nothing", mend)
    return _artifact(workspace / stage, manifest, "reused")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest in a stage's folder; None where there is none that can be read."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return manifest


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs: indented, keys in the given order, UTF-8."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file that a stage wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file, one after the other."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def digest_of_json(content: Any) -> str:
    """sha256 (hex) of a JSON value, independent of the order of keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of_files(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 of every file below a folder, its manifest left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: digest_of_file(path) for name, path in names.items() if name != MANIFEST}


def digest_of_folder(folder: Path) -> str:
    """One digest of a folder's files and their content, wherever the folder lies."""
    return digest_of_json(digests_of_files(folder))


def _artifact(
    folder: Path, manifest: Mapping[str, Any], state: Literal["ran", "reused"]
) -> Artifact:
    return Artifact(
        stage=manifest["stage"],
        path=folder,
        digest=manifest["digest"],
        rows=manifest["rows"],
        state=state,
        seconds=manifest["seconds"],
        counts=manifest["counts"],
    )


def _make_empty(output: Output) -> None:
    if output.path.exists():
        shutil.rmtree(output.path)
    output.path.mkdir(parents=True)
    for other in output.scratch.parent.glob("*"):
        if not other.is_dir():
            other.unlink()
        elif other != output.scratch:
            shutil.rmtree(other)  # the work of another key can't be resumed any more
    output.scratch.mkdir(parents=True, exist_ok=True)


def _replace(new: Path, old: Path) -> None:
    if old.exists():
        # A crash between these steps leaves no folder at all, and the stage runs again.
        shutil.rmtree(old)
    os.replace(new, old)
