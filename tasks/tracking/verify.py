"""Is a registered version still what was registered? Its files and data, hashed again.

verify(by_alias("support-summarizer", "champion"), scratch)
-> Verified(files=61, artifacts=("ingest", "template", "split", "train"), notes=(),
            differences=(Difference("artifacts/model/model.safetensors", "c03d...", "77e1..."),))
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from tasks.errors import BadModel
from tasks.home import workspace_of
from tasks.stage import digest_of_file, digests_of_files, read_json, read_manifest
from tasks.tracking.connection import connect, is_missing, retry_while_down
from tasks.tracking.files import DIGESTS_FILE, download
from tasks.tracking.lineage import DIGEST_OF_STAGE
from tasks.tracking.registry import FILES_TAG, Version

ADDED_BY_MLFLOW = {"registered_model_meta"}
MISSING = "missing"
UNKNOWN = "not part of it"


@dataclass(frozen=True)
class Difference:
    """A file that is not what it was: its name, the digest it had and the one it has."""

    where: str
    expected: str
    found: str


@dataclass(frozen=True)
class Verified:
    """What was hashed again.

    Attributes:
        files: Number of the version's files.
        artifacts: Stages whose artifacts the workspace still has.
        notes: What could not be checked, and why.
        differences: Everything that is not what it was.
    """

    files: int
    artifacts: tuple[str, ...]
    notes: tuple[str, ...]
    differences: tuple[Difference, ...]


def verify(version: Version, scratch: Path) -> Verified:
    """Hash a version's files, and its data where this machine still has them.

    Args:
        version: The version.
        scratch: Folder for its files.

    Raises:
        BadModel: The version has no files, or was registered without their digests.
    """
    package = download(version, scratch / "package")
    known = _digests(version, package)
    found = {
        name: digest
        for name, digest in digests_of_files(package).items()
        if name not in ADDED_BY_MLFLOW | {DIGESTS_FILE}
    }
    differences = list(_differences("", known, found))
    recipe = _recipe_name(version)
    if recipe is None:
        note = f"its data can't be looked for: MLflow no longer has its run, {version.run_id}"
        return Verified(len(known), (), (note,), tuple(differences))
    workspace = workspace_of(recipe)
    checked, notes = [], []
    for name, stage in DIGEST_OF_STAGE.items():
        manifest = read_manifest(workspace / stage)
        if manifest is None or manifest["digest"] != version.tags.get(f"retune.{name}_digest"):
            notes.append(f"{workspace / stage} is not there, or of another run")
            continue
        checked.append(stage)
        now = digests_of_files(workspace / stage)
        expected = manifest["outputs"] | manifest["volatile"]
        differences += _differences(f"{workspace / stage}/", expected, now)
    return Verified(len(known), tuple(checked), tuple(notes), tuple(differences))


def _digests(version: Version, package: Path) -> Mapping[str, str]:
    """What the version's files were, by a list that the registry vouches for."""
    where = f"{version.model}/{version.version}"
    if FILES_TAG not in version.tags:
        mend = "register it anew with `retune run`"
        raise BadModel(where, f"a version with the tag {FILES_TAG}", "none", mend)
    listed = package / DIGESTS_FILE
    found = digest_of_file(listed) if listed.is_file() else MISSING
    if found != version.tags[FILES_TAG]:
        expected = f"{DIGESTS_FILE} of the digest {version.tags[FILES_TAG]}"
        raise BadModel(where, expected, found, "its files can't be trusted; `retune rollback`")
    return read_json(listed)


def _differences(
    prefix: str, expected: Mapping[str, str], found: Mapping[str, str]
) -> Iterator[Difference]:
    for name in sorted(expected.keys() | found.keys()):
        was, now = expected.get(name, UNKNOWN), found.get(name, MISSING)
        if was != now:
            yield Difference(prefix + name, was, now)


def _recipe_name(version: Version) -> str | None:
    """Recipes name their MLflow experiments; None where the run is gone."""

    def call() -> str:
        client = connect()
        run = client.get_run(version.run_id)
        return str(client.get_experiment(run.info.experiment_id).name)

    try:
        return retry_while_down(call)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise
