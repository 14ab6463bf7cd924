"""The `retune` command.

    retune run configs/recipes/support_chat.yaml --set train.epochs=1

Exit codes: 0 done, 2 bad input, 3 judged and refused (`run --require-promotion`), 130 interrupted,
1 anything else. With `--json`, standard output has one JSON document and nothing else.
"""

import contextlib
import json
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.errors import BadWorkspace, NotPromoted, RetuneError
from tasks.home import prepare_environment, state_home

# What a command needs is imported when it runs: `retune --help` must not wait for torch.

app = typer.Typer(
    name="retune",
    help="Turn your own data into evaluated, registered instruct models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)

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
ModelName = Annotated[str | None, typer.Argument(help="Registered model; all when left out.")]
ModelAlias = Annotated[str, typer.Argument(metavar="MODEL@ALIAS", help="Or MODEL/VERSION.")]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="The prompt; - reads standard input.")]
RequirePromotion = Annotated[
    bool,
    typer.Option("--require-promotion", help="Exit code 3 where the model is not to be promoted."),
]


def main() -> None:
    """The entry point of the command."""
    app()


@contextlib.contextmanager
def _reporting(goes_on: bool = False) -> Iterator[None]:
    """Prepare the process for a command, and turn what it raises into message and exit code.

    Args:
        goes_on: Whether the same command takes up an interrupted one.
    """
    from flows.logs import to_terminal

    to_terminal()
    try:
        prepare_environment()
        with contextlib.redirect_stdout(sys.stderr):  # whatever a library may print
            yield
    except typer.Exit:
        raise
    except RetuneError as error:
        _say(str(error) if error.exit_code > 1 else f"{error}\n{_keep_traceback()}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _say("Interrupted." + (" The same command goes on from here." if goes_on else ""))
        raise typer.Exit(130) from None
    except Exception as error:
        if no_room := BadWorkspace.behind(error, state_home()):
            _say(str(no_room))
            raise typer.Exit(no_room.exit_code) from None
        # The last resort: a traceback is no message.
        _say(f"{type(error).__name__}: {error}\n{_keep_traceback()}")
        raise typer.Exit(1) from None


@app.command()
@_reporting(goes_on=True)
def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    as_json: Json = False,
    require_promotion: RequirePromotion = False,
) -> None:
    """Fine-tune, evaluate and register a model; what is still valid is reused.

    `retune run configs/recipes/support_chat.yaml`

    `retune run configs/recipes/support_chat.yaml --set train.epochs=1 --set split.seed=3 --json`
    """
    from flows.temporary_server import temporary_server

    _check(recipe, overrides or [])
    with temporary_server() as wait_until_ready:
        from flows.finetune import finetune

        wait_until_ready()
        result = finetune(str(recipe), overrides)
    if as_json:
        _print_json(result)
    else:
        from tasks.report.table import render

        _print(render(result))
    if require_promotion and not result["decision"]["promote"]:
        raise NotPromoted(f"{result['model']} version {result['version']} is not to be promoted")


@app.command()
@_reporting()
def plan(recipe: RecipeFile, overrides: Overrides = None, as_json: Json = False) -> None:
    """Tell what `run` would do: which stages and why, how much data, memory and time.

    `retune plan configs/recipes/support_chat.yaml`
    """
    from tasks.config import load_recipe
    from tasks.plan import as_json as plan_as_json
    from tasks.plan import plan as make_plan

    planned = make_plan(load_recipe(recipe, overrides or []))
    if as_json:
        _print_json(plan_as_json(planned))
    else:
        from flows.tables import plan_tables

        _print(*plan_tables(planned))


@app.command()
@_reporting()
def models(model: ModelName = None, as_json: Json = False) -> None:
    """List the registered versions and their aliases, the newest first.

    `retune models support-summarizer`
    """
    from tasks.errors import BadModel
    from tasks.tracking.registry import all_versions

    versions = all_versions(model)
    if model and not versions:
        raise BadModel(model, "a registered model", "none", "`retune models` lists what there is")
    if as_json:
        _print_json([{**vars(version), "tags": dict(version.tags)} for version in versions])
    else:
        from flows.tables import models_table

        _print(models_table(versions))


@app.command()
@_reporting()
def ask(model: ModelAlias, text: Text) -> None:
    """Have a registered model complete a prompt.

    `retune ask support-summarizer@challenger "Summarize the following conversation. ..."`
    """
    from tasks.tracking.serving import complete

    _print_text(complete(model, sys.stdin.read() if text == "-" else text))


@app.command()
@_reporting()
def doctor(as_json: Json = False) -> None:
    """Check what this machine has and what a run will use; exit code 1 if runs would fail.

    `retune doctor`
    """
    from flows.doctor import examine

    checks = examine()
    if as_json:
        _print_json({"checks": [vars(check) for check in checks]})
    else:
        from flows.tables import doctor_table

        _print(doctor_table(checks))
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(1)


def _check(recipe: Path, overrides: list[str]) -> None:
    """Fail on what can be known at once, before a server is started for it."""
    from tasks.config import load_recipe
    from tasks.home import workspace_of
    from tasks.lock import workspace_lock

    with workspace_lock(workspace_of(load_recipe(recipe, overrides).name)):
        pass  # free; the flow takes it for itself


def _print_json(document: Any) -> None:
    _print_text(json.dumps(document, indent=2, ensure_ascii=False))


def _print_text(text: str) -> None:
    print(text, file=sys.__stdout__)


def _print(*renderables: Any) -> None:
    from rich.console import Console

    console = Console(file=sys.__stdout__)
    for renderable in renderables:
        console.print(renderable)


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _keep_traceback() -> str:
    """Write the traceback of the error at hand into a file; returns where it is."""
    path = state_home() / "last-error.log"
    try:
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return traceback.format_exc()  # there is no place to keep it
    return f"The traceback is in {path}"
