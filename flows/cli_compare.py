"""The command that sets the ways to adapt a model side by side.

retune compare configs/recipes/support_chat.yaml
"""

import typer

from flows.command import (
    Json,
    Overrides,
    RecipeFile,
    check_free,
    print_json,
    print_tables,
    reporting,
)

app = typer.Typer()


@app.command()
@reporting(goes_on=True)
def compare(recipe: RecipeFile, overrides: Overrides = None, as_json: Json = False) -> None:
    """Adapt the model in every way, on the same data and budget, and measure which one pays.

    Zero-, one- and few-shot prompts, full fine-tuning, LoRA, multi-task, replay, interpolation; a
    learning curve; one phrasing against many. Ends in six claims, each confirmed, refuted or
    undecided.

    `retune compare configs/recipes/support_chat.yaml`

    `retune compare configs/recipes/support_chat.yaml --set train.epochs=1 --json`
    """
    from flows.temporary_server import temporary_server

    check_free(recipe, overrides or [])
    with temporary_server() as wait_until_ready:
        from flows.compare import compare as compare_flow

        wait_until_ready()
        found = compare_flow(str(recipe), overrides)
    if as_json:
        print_json(found)
    else:
        from tasks.report.comparison import tables

        print_tables(tables(found))
