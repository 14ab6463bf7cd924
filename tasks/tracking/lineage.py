"""Where a model version comes from, as tags.

{"retune.git_commit": "77e1...", "retune.git_dirty": "false", "retune.recipe_digest": "51ab...",
 "retune.data_digest": "c03d...", "retune.packages": "{\\"torch\\": \\"2.13.0\\"}", ...}
"""

import json
import os
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.stage import digest_of_json, read_json

PACKAGES = ("torch", "transformers", "mlflow", "prefect", "dvc")
GIT_TIMEOUT_S = 30
STAGE_VERSIONS_TAG = "retune.stage_versions"
DIGEST_OF_STAGE = {"data": "ingest", "template": "template", "split": "split", "train": "train"}


def lineage(
    recipe_digest: str,
    manifests: Mapping[str, Mapping[str, Any]],
    ingested: Path,
    flow_run_id: str | None,
) -> dict[str, str]:
    """The tags that say what a version was made from.

    Args:
        recipe_digest: sha256 of the resolved recipe.
        manifests: Stage -> its manifest.
        ingested: Folder of the ingest stage.
        flow_run_id: Of the Prefect flow; taken from a deployment's environment where not given.

    Returns:
        Tag -> value; what is not known (no git, no DVC, no flow) is left out.
    """
    facts = {
        "recipe_digest": recipe_digest,
        **{f"{name}_digest": manifests[stage]["digest"] for name, stage in DIGEST_OF_STAGE.items()},
        "base_model_digest": manifests["train"]["inputs"].get("base_model"),
        "start_from_digest": manifests["train"]["inputs"].get("start_from"),
        "source_digests": json.dumps(manifests["ingest"]["inputs"], sort_keys=True),
        "stage_versions": json.dumps({name: made["version"] for name, made in manifests.items()}),
        "packages": json.dumps(_packages()),
        "dvc_revisions": _dvc_revisions(ingested),
        "prefect_flow_run_id": flow_run_id or os.environ.get("PREFECT__FLOW_RUN_ID"),
        **_git(),
    }
    return {f"retune.{name}": value for name, value in facts.items() if value}


def stage_versions(tags: Mapping[str, str]) -> dict[str, str]:
    """Stage -> the version of its code that was run for a model version; empty where not known.

    Args:
        tags: Of the model version.
    """
    return dict(json.loads(tags.get(STAGE_VERSIONS_TAG, "{}")))


def lineage_digest(tags: Mapping[str, str]) -> str | None:
    """One digest of what a version was made from; versions of the same lineage share it.

    Args:
        tags: Of the version.

    Returns:
        12 hex digits; None where the tags have no lineage.
    """
    names = ["recipe", "base_model", *DIGEST_OF_STAGE]
    digests = {name: tags.get(f"retune.{name}_digest") for name in names}
    return digest_of_json(digests)[:12] if any(digests.values()) else None


def _git() -> dict[str, str]:
    commit = _git_output("rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git_output("status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit, "git_dirty": "true" if changes else "false"}


def _git_output(*arguments: str) -> str | None:
    """What git prints; None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (FileNotFoundError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _dvc_revisions(ingested: Path) -> str | None:
    """Task -> repository, path and commit of its data, where DVC keeps them."""
    path = ingested / "dvc.json"
    return json.dumps(read_json(path), sort_keys=True) if path.exists() else None


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
