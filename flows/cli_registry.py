"""The commands on registered models.

retune models support-summarizer
"""

import sys
from typing import Annotated

import typer

from flows.command import Json, print_json, print_tables, print_text, reporting

app = typer.Typer()

ModelName = Annotated[str | None, typer.Argument(help="Registered model; all when left out.")]
ModelAlias = Annotated[str, typer.Argument(metavar="MODEL@ALIAS", help="Or MODEL/VERSION.")]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="The prompt; - reads standard input.")]


@app.command()
@reporting()
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
        print_json([{**vars(version), "tags": dict(version.tags)} for version in versions])
    else:
        from flows.tables import models_table

        print_tables(models_table(versions))


@app.command()
@reporting()
def ask(model: ModelAlias, text: Text) -> None:
    """Have a registered model complete a prompt.

    `retune ask support-summarizer@challenger "Summarize the following conversation. ..."`
    """
    from tasks.tracking.serving import complete

    print_text(complete(model, sys.stdin.read() if text == "-" else text))
