"""What all `retune` commands share: exit codes for errors, and what goes to which stream.

@app.command()
@reporting()
def models() -> None: ...
"""

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from tasks.errors import BadWorkspace, RetuneError
from tasks.home import prepare_environment, state_home, without_password

RecipeFile = Annotated[Path, typer.Argument(help="Recipe (YAML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of the recipe: a dotted key and YAML; may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

STDOUT = 1
"""File descriptor."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, as Kubernetes and systemd send it: handled like Ctrl-C."""


@contextlib.contextmanager
def reporting(goes_on: bool = False) -> Iterator[None]:
    """Prepare the process for a command, and turn what it raises into message and exit code.

    Args:
        goes_on: Whether running the command again resumes an interrupted run.
    """
    from flows.logs import to_terminal

    to_terminal()
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        prepare_environment()
        with contextlib.redirect_stdout(sys.stderr):  # whatever a library may print
            yield
    except typer.Exit:
        raise
    except RetuneError as error:
        _say(str(error) if error.exit_code > 1 else f"{error}\n{_keep_traceback()}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt as error:
        asked = isinstance(error, Terminated)
        said = "Stopped by SIGTERM." if asked else "Interrupted."
        _say(said + (" The same command goes on from here." if goes_on else ""))
        raise typer.Exit(128 + (signal.SIGTERM if asked else signal.SIGINT)) from None
    except Exception as error:
        if no_room := BadWorkspace.behind(error, state_home()):
            _say(str(no_room))
            raise typer.Exit(no_room.exit_code) from None
        # The last resort: one line for the user; the traceback goes to a file.
        _say(f"{type(error).__name__}: {error}\n{_keep_traceback()}")
        raise typer.Exit(1) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal by an exception, once."""
    signal.signal(number, signal.SIG_IGN)
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def check_free(recipe: Path, overrides: list[str]) -> None:
    """Fail early on what can be checked before a server is started.

    Raises:
        BadInput: The recipe, or what it names on this disk, can't be used, or another run holds
            its workspace.
    """
    from tasks.config import load_recipe
    from tasks.data.base_model import folder_of
    from tasks.data.sources import size_of
    from tasks.home import workspace_of
    from tasks.lock import workspace_lock
    from tasks.pipeline import PIPELINE

    loaded = load_recipe(recipe, overrides)
    for stage in PIPELINE:
        stage.select(loaded)
    for task in loaded.trained_tasks:
        size_of(task.source)
    if loaded.base_model.path:  # what is to be fetched is fetched when it is needed
        folder_of(loaded.base_model)
    with workspace_lock(workspace_of(loaded.name)):
        pass  # free; the flow takes it for itself


def print_json(document: Any) -> None:
    """Print a document for programs."""
    is_unicode = _encoding().lower().startswith("utf")
    print_text(json.dumps(document, indent=2, ensure_ascii=not is_unicode))


def print_text(text: str) -> None:
    """Print on the real standard output, which `reporting` keeps from libraries."""
    _write(f"{text}\n")


def print_tables(*renderables: Any) -> None:
    """Print tables, and whatever else rich can render, for people."""
    from rich.console import Console

    console = Console(file=sys.__stdout__)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable, crop=False)  # a path may be longer than a line
    _write(captured.get())


def _encoding() -> str:
    return getattr(sys.__stdout__, "encoding", None) or "utf-8"


def _write(text: str) -> None:
    # What a terminal's encoding lacks, such as a Chinese answer in ASCII, must not lose the rest.
    fit = text.encode(_encoding(), "backslashreplace").decode(_encoding())
    try:
        print(fit, end="", file=sys.__stdout__, flush=True)
    except BrokenPipeError:
        # Nobody reads on, as in `retune models | head -2`. Python writes the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _say(message: str) -> None:
    print(without_password(message), file=sys.stderr)


def _keep_traceback() -> str:
    """Write the traceback of the error at hand into a file; returns where it is."""
    path = state_home() / "last-error.log"
    text = without_password(traceback.format_exc())
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        return text  # there is no place to keep it
    return f"The traceback is in {path}"
