"""Where Retune keeps its state, and the environment that keeps everything else in there too.

.retune/                    or RETUNE_HOME
├── workspaces/<recipe>/    the artifacts of each stage
├── scratch/  locks/        of commands under way
├── layout                  version of all this
├── mlflow.db  mlartifacts/ MLflow, embedded
├── prefect/                Prefect, embedded
└── services.json  logs/    of `retune up`
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.errors import BadWorkspace
from tasks.running import running

LAYOUT = 1
"""Version of what lies in a state folder; a greater one has what this version could not read."""

_DATABASE = r"\b((?:postgres(?:ql)?|mysql|mariadb|mssql|oracle)[\w+]*://)"


def state_home() -> Path:
    """The folder of all state: `RETUNE_HOME`, or `.retune` in the current folder."""
    # An empty variable is none: as a path it would be the current folder itself.
    return Path(os.environ.get("RETUNE_HOME") or ".retune").absolute()


def workspace_of(recipe_name: str) -> Path:
    """The folder that holds the artifacts of the recipe of this name."""
    return state_home() / "workspaces" / recipe_name


def from_here(path: str) -> str:
    """A path as one would type it: relative, where it lies in the current folder."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def without_password(text: str) -> str:
    """A text less the `user:password@` of the URLs in it, fit to be shown and kept.

    A database's URL may also have its password in the query, and SQLAlchemy takes one with
    slashes and blanks in it.
    """
    text = re.sub(_DATABASE + r"[^:/@\s]*:[^@\n]*@", r"\1", text)
    text = re.sub(
        r"([?&](?:\w*passw(?:or)?d|pwd|odbc_connect)=)[^&\s]+", r"\1***", text, flags=re.I
    )
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for the length of a block; `retune gc` removes what a killed command left.

    Raises:
        BadWorkspace: The state folder can't be written to.
    """
    parent = scratch_home()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise BadWorkspace.not_writable(str(parent), error) from None
    with folder as path:
        yield Path(path)


def scratch_home() -> Path:
    """Where the scratch folders of commands under way lie."""
    return state_home() / "scratch"


def prepare_environment() -> None:
    """Point the libraries at the state folder and switch off everything that calls out.

    Call it before prefect, mlflow, dvc or transformers is imported: they read these variables
    once. What the user has set stays.

    Raises:
        BadWorkspace: The state folder can't be made or named, or is of a newer version.
    """
    home = state_home()
    _check_name(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadWorkspace.not_writable(str(home), error) from None
    _check_layout(home)
    defaults = {
        "PREFECT_HOME": str(home / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Retune's own log belongs to the task runs; outside of one it goes to the terminal only.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "retune",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        # A new database takes 15 s on a quick machine to make; Prefect's own limit is 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "DVC_NO_ANALYTICS": "true",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    server = running(home).get("prefect")
    if server and "PREFECT_PROFILE" not in os.environ:
        # Two servers would write into one database.
        defaults["PREFECT_API_URL"] = server
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _check_name(home: Path) -> None:
    """Refuse a name that means another one in the URLs of databases and artifacts."""
    if found := re.search(r"\?|%[0-9A-Fa-f]{2}", str(home)):
        mend = "have RETUNE_HOME name another folder"
        raise BadWorkspace(str(home), "a path without ? and %41", f"{found[0]} in it", mend)


def _check_layout(home: Path) -> None:
    """Refuse what a newer version has written to, and mark what has no mark or an older one."""
    mark, found = home / "layout", ""
    with suppress(OSError):
        found = mark.read_text(encoding="utf-8").strip()
    if found.isdecimal() and int(found) > LAYOUT:
        expected = f"a state folder of layout {LAYOUT} or older"
        mend = "update Retune, or have RETUNE_HOME name another folder"
        raise BadWorkspace(str(home), expected, f"layout {found}, of a newer Retune", mend)
    if found != str(LAYOUT):
        with suppress(OSError):  # whoever may only read needs no mark
            mark.write_text(f"{LAYOUT}\n", encoding="utf-8")
