"""The files of a registered version.

download(by_version("support-summarizer", "3"), Path("here"))
-> here/MLmodel  here/artifacts/model/model.safetensors  here/artifacts/retune/generation.json ...
"""

from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from tasks.errors import BadModel
from tasks.tracking.connection import is_down, retry_while_down
from tasks.tracking.registry import Version

DIGESTS_FILE = "digests.json"


def download(version: Version, folder: Path) -> Path:
    """Copy a version's files.

    Args:
        version: The version.
        folder: Where to put them; made if need be.

    Returns:
        The folder, in MLflow's format.

    Raises:
        BadModel: They are not where they should be.
    """
    uri = f"models:/{version.model}/{version.version}"
    folder.mkdir(parents=True, exist_ok=True)

    def call() -> str:
        return str(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))

    try:
        package = Path(retry_while_down(call))
    except (MlflowException, OSError) as error:
        if is_down(error):
            raise
        raise BadModel(uri, "the files of the version", str(error)) from error
    if not (package / "MLmodel").is_file():
        raise BadModel(uri, "the files of the version", "no MLmodel")
    return package
