"""The model registry: versions, the aliases `champion` and `challenger`, and tags.

Version(model="support-summarizer", version="3", run_id="5d41...", created=1790000000.0,
        source="file:///.../models/m-7c01.../artifacts", aliases=("challenger",),
        tags={"retune.key": "9f0c...", ...})
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tasks.errors import BadModel
from tasks.tracking.connection import connect, is_down, is_missing, retry_while_down

CHAMPION = "champion"
CHALLENGER = "challenger"
KEY_TAG = "retune.key"
FILES_TAG = "retune.files_digest"
"""sha256 of the version's `digests.json`, which has those of all its other files."""
HEADLINE_TAG = "retune.headline"
"""The deciding figure: `{"metric": "rougeL", "value": 0.34, "low": 0.32, "high": 0.37, ...}`."""

MOST_DIGITS = 9
"""Of a version's number: the databases count in 32 bits."""


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes:
        model: The registered model.
        version: Number.
        run_id: MLflow run that made it.
        created: In seconds since 1970.
        source: Where its files are; of a copy (`copy_model_version`), `models:/` and the original.
        aliases: In alphabetical order.
        tags: Its lineage, and what Retune keeps with it.
    """

    model: str
    version: str
    run_id: str
    created: float
    source: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


def find(model: str, key: str) -> Version | None:
    """The version that was made from exactly this; None where none is whole.

    Args:
        model: Name of the registered model.
        key: Value of the tag `retune.key`.
    """
    filtered = f"name = '{model}' and tags.`{KEY_TAG}` = '{key}'"

    def whole() -> list[ModelVersion]:
        found = connect().search_model_versions(filtered)
        ready = [entry for entry in found if entry.status == "READY"]
        return [entry for entry in ready if has_files(f"models:/{entry.name}/{entry.version}")]

    kept = retry_while_down(whole)
    if not kept:
        return None
    return by_version(model, str(max(int(entry.version) for entry in kept)))


def register(model: str, model_id: str, run_id: str, key: str, tags: Mapping[str, str]) -> Version:
    """Make a logged model a version of a registered model, unless it is one already.

    Args:
        model: Name of the registered model; made where it is new.
        model_id: The logged model.
        run_id: The run that made it.
        key: What identifies the version's content.
        tags: Its lineage.
    """

    def call() -> Version:
        existing = find(model, key)
        if existing:
            return existing
        client = connect()
        _ensure_model(client, model)
        logged = client.get_logged_model(model_id)
        made = client.create_model_version(
            model,
            logged.artifact_location,
            run_id,
            tags={**tags, KEY_TAG: key, **_files_tag(logged.tags)},
            model_id=model_id,
        )
        return by_version(model, str(made.version))

    return retry_while_down(call)


def by_alias(model: str, alias: str) -> Version | None:
    """The version that has an alias; None where none has."""
    return _get(lambda client: client.get_model_version_by_alias(model, alias))


def challenger_of(model: str) -> Version:
    """The challenger of a model.

    Raises:
        BadModel: There is none.
    """
    version = by_alias(model, CHALLENGER)
    if version is None:
        mend = "`retune models` lists what there is; `retune run RECIPE` makes a challenger"
        raise BadModel(model, "a model with a challenger", "none", mend)
    return version


def by_version(model: str, version: str) -> Version:
    """One version.

    Raises:
        BadModel: There is none of that number.
    """
    is_possible = len(version) <= MOST_DIGITS
    found = _get(lambda client: client.get_model_version(model, version)) if is_possible else None
    if found is None:
        mend = "`retune models` lists what there is"
        raise BadModel(f"{model}/{version}", "a registered version", "none", mend)
    return found


def all_versions(model: str | None = None) -> list[Version]:
    """Every version of one registered model or of all, the newest first."""
    if model and "'" in model:  # which no search can name
        return []
    filtered = f"name = '{model}'" if model else None
    found = retry_while_down(lambda: list(_pages(connect(), filtered)))
    # A search does not bring the aliases.
    return [by_version(entry.name, str(entry.version)) for entry in found]


def set_alias(version: Version, alias: str) -> None:
    """Give a version an alias, which another version of the model loses."""
    retry_while_down(
        lambda: connect().set_registered_model_alias(version.model, alias, version.version)
    )


def set_tags(version: Version, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    for name, value in tags.items():
        _set_tag(version, name, value)


def model_tag(model: str, name: str) -> str | None:
    """A tag of the registered model itself; None where there is no such tag or model."""
    try:
        found = retry_while_down(lambda: connect().get_registered_model(model))
    except MlflowException as error:
        if is_missing(error):
            return None
        raise
    value: str | None = found.tags.get(name)
    return value


def set_model_tag(model: str, name: str, value: str) -> None:
    """Set a tag of the registered model itself."""
    retry_while_down(lambda: connect().set_registered_model_tag(model, name, value))


def delete_model_tag(model: str, name: str) -> None:
    """Remove a tag of the registered model itself."""
    retry_while_down(lambda: connect().delete_registered_model_tag(model, name))


def exists(model: str, version: str, run_id: str) -> bool:
    """Whether the registry still has this version, and made by this run."""
    found = _get(lambda client: client.get_model_version(model, version))
    return found is not None and found.run_id == run_id


def has_files(uri: str) -> bool:
    """Whether a model's files are where they should be.

    Args:
        uri: `models:/NAME/VERSION` or `models:/MODEL_ID`.
    """
    try:
        files = mlflow.artifacts.list_artifacts(artifact_uri=uri)
    except MlflowException as error:
        if is_down(error):
            raise
        return False
    return any(file.path.rpartition("/")[2] == "MLmodel" for file in files)


def _files_tag(tags: Mapping[str, str]) -> dict[str, str]:
    return {FILES_TAG: tags[FILES_TAG]} if FILES_TAG in tags else {}


def _set_tag(version: Version, name: str, value: str) -> None:
    retry_while_down(
        lambda: connect().set_model_version_tag(version.model, version.version, name, value)
    )


def _get(fetch: Callable[[MlflowClient], ModelVersion]) -> Version | None:
    try:
        entry = retry_while_down(lambda: fetch(connect()))
    except MlflowException as error:
        # The second for an alias that no version has, and for names that MLflow does not allow.
        if is_missing(error) or error.error_code == "INVALID_PARAMETER_VALUE":
            return None
        raise
    return Version(
        model=entry.name,
        version=str(entry.version),
        run_id=str(entry.run_id),
        created=entry.creation_timestamp / 1000,
        source=str(entry.source),
        aliases=tuple(sorted(entry.aliases)),
        tags=dict(entry.tags),
    )


def _pages(client: MlflowClient, filtered: str | None) -> Iterator[ModelVersion]:
    token: str | None = None
    while True:
        page = client.search_model_versions(
            filtered, order_by=["creation_timestamp DESC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _ensure_model(client: MlflowClient, model: str) -> None:
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
