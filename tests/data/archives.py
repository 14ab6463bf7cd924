"""Writes archives, for the tests of reading them."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TAR_MODES: dict[str, Any] = {
    ".tar": "w",
    ".gz": "w:gz",
    ".tgz": "w:gz",
    ".xz": "w:xz",
    ".bz2": "w:bz2",
}


def write_archive(path: Path, files: Mapping[str, bytes]) -> Path:
    """One of the kind that its name says, with the files in this order."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, _TAR_MODES[path.suffix]) as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path
