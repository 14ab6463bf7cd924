"""The `retune` command.

    retune run configs/recipes/support_chat.yaml --set train.epochs=1

Exit codes: 0 done, 2 bad input, 3 judged and refused (`--require-promotion`) or waiting for a
person's approval of the data, 130 interrupted (Ctrl-C), 143 stopped by SIGTERM, 1 anything else.
With `--json`, standard output has one JSON document and nothing else.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from flows import cli_compare, cli_operations, cli_registry
from flows.command import (
    Json,
    Overrides,
    RecipeFile,
    check_free,
    print_json,
    print_tables,
    print_text,
    reporting,
)
from tasks.errors import NotPromoted
from tasks.garbage import collect_seldom

# What a command needs is imported when it runs: `retune --help` must not wait for torch.

app = typer.Typer(
    name="retune",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
app.add_typer(cli_compare.app)
app.add_typer(cli_registry.app)
app.add_typer(cli_operations.app)

RequirePromotion = Annotated[
    bool,
    typer.Option("--require-promotion", help="Exit code 3 where the model is not to be promoted."),
]


def _show_version(asked: bool) -> None:
    if asked:
        print_text(f"retune {version('retune')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_show_version, is_eager=True, help="Show the version and end."
    ),
]


@app.callback()
def retune(show_version: Version = False) -> None:
    """Turn your own data into evaluated, registered instruct models."""


def main() -> None:
    """The entry point of the command."""
    collect_seldom()
    app()


@app.command()
@reporting(goes_on=True)
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

    check_free(recipe, overrides or [])
    with temporary_server() as wait_until_ready:
        from flows.finetune import finetune

        wait_until_ready()
        result = finetune(str(recipe), overrides)
    if as_json:
        print_json(result)
    else:
        from tasks.report.table import render

        print_tables(render(result))
    if require_promotion and not result["decision"]["promote"]:
        raise NotPromoted(f"{result['model']} version {result['version']} is not to be promoted")


@app.command()
@reporting()
def plan(
    recipe: RecipeFile,
    overrides: Overrides = None,
    as_json: Json = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Train for a few steps to tell the time.")
    ] = False,
) -> None:
    """Tell what `run` would do: which stages and why, how much data, memory and time.

    `retune plan configs/recipes/support_chat.yaml --measure`
    """
    from flows.configured_server import is_configured
    from flows.temporary_server import SERVER_BYTES
    from tasks.config import load_recipe
    from tasks.plan import as_json as plan_as_json
    from tasks.plan import plan as make_plan

    server_bytes = 0 if is_configured() else SERVER_BYTES
    planned = make_plan(load_recipe(recipe, overrides or []), measure, server_bytes)
    if as_json:
        print_json(plan_as_json(planned))
    else:
        from flows.tables import plan_tables

        print_tables(*plan_tables(planned))


@app.command()
@reporting()
def doctor(as_json: Json = False) -> None:
    """Check what this machine has and what a run will use; exit code 1 if runs would fail.

    `retune doctor`
    """
    from flows.doctor import examine

    checks = examine()
    if as_json:
        print_json({"checks": [vars(check) for check in checks]})
    else:
        from flows.tables import doctor_table

        print_tables(doctor_table(checks))
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(1)
