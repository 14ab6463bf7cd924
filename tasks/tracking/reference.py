"""What a retraining compares with: the versions there are, their data, and their weights.

is_made_from(by_alias("support-summarizer", "champion"), {"source of support_summary": "51ab..."})
-> True
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from tasks.data.profile import Profile, from_json, profile
from tasks.errors import BadModel
from tasks.stage import Artifact, read_json, write_json
from tasks.tracking.connection import is_down, retry_while_down
from tasks.tracking.registry import CHAMPION, Version, all_versions, set_tags
from tasks.tracking.run import fetch_file, log_file

SOURCES_TAG = "retune.source_digests"
SEEN_TAG = "retune.seen_source_digests"
"""The newest sources that were found to have the records that a version was made from."""
SPLIT_TAG = "retune.split_digest"

RESTORE = "restore the artifacts, or set retrain.start_from to base"


def known_versions(model: str) -> tuple[Version, ...]:
    """The champion, where there is one, and the newest version, where that is another."""
    versions = all_versions(model)
    champions = [version for version in versions if CHAMPION in version.aliases]
    newest = [version for version in versions[:1] if version not in champions]
    return (*champions, *newest)


def is_made_from(version: Version, sources: Mapping[str, str]) -> bool:
    """Whether a version was made from these sources, or from others with the same records."""
    return sources in (_sources(version, SOURCES_TAG), _sources(version, SEEN_TAG))


def remember_sources(version: Version, sources: Mapping[str, str]) -> None:
    """Note on a version that these sources have the records that it was made from."""
    if not is_made_from(version, sources):
        set_tags(version, {SEEN_TAG: json.dumps(dict(sources), sort_keys=True)})


def log_profile(run_id: str, ingested: Path, parts: Artifact, scratch: Path) -> None:
    """Keep the profile of a run's data with the run.

    Args:
        run_id: The run.
        ingested: Folder of the ingest stage.
        parts: What the split stage made.
        scratch: Folder for the file on its way.
    """
    file = scratch / f"{parts.digest[:16]}.json"
    content = {task: asdict(of) for task, of in profile(ingested, parts.path).items()}
    write_json(file, content)
    log_file(run_id, file, "profile")


def profile_of(version: Version, scratch: Path) -> Profile | None:
    """The profile of the data that a version was made from; None where none was kept.

    Args:
        version: The version.
        scratch: Folder for the file.
    """
    name = f"profile/{version.tags.get(SPLIT_TAG, '')[:16]}.json"
    file = fetch_file(version.run_id, name, scratch)
    return from_json(read_json(file)) if file else None


def weights_of(version: Version, folder: Path) -> Path:
    """The Hugging Face folder of a version, on this machine.

    Args:
        version: The version.
        folder: Where to put it, if it is not on this machine already.

    Raises:
        BadModel: The version's files are gone.
    """
    uri = f"models:/{version.model}/{version.version}/artifacts/model"

    def fetch() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        return str(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))

    try:
        fetched = Path(retry_while_down(fetch))
    except MlflowException as error:
        if is_down(error):
            raise
        raise BadModel(uri, "a folder in Hugging Face format", "none", RESTORE) from error
    if not (fetched / "config.json").exists():
        raise BadModel(uri, "a folder in Hugging Face format", "none", RESTORE)
    return fetched


def _sources(version: Version, tag: str) -> Mapping[str, str] | None:
    text = version.tags.get(tag)
    return dict(json.loads(text)) if text else None
