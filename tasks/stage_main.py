"""The command line that every stage shares: `python -m tasks.split --recipe RECIPE`."""

import argparse
import logging
import sys
from collections.abc import Sequence

from tasks.config import load_recipe
from tasks.errors import RetuneError
from tasks.home import prepare_environment, workspace_of
from tasks.lock import workspace_lock
from tasks.stage import Inputs, S, Stage, load_artifact


def main(stage: Stage[S], arguments: Sequence[str] | None = None) -> int:
    """Run one stage on what the stages before it left in the workspace.

    Args:
        stage: The stage.
        arguments: Command line; `sys.argv` when left out.

    Returns:
        The exit code: 0 done, 2 bad input, 1 anything else.
    """
    parser = argparse.ArgumentParser(description=f"Run the stage {stage.name} of a recipe.")
    parser.add_argument("--recipe", required=True, help="recipe file (YAML)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        prepare_environment()
        recipe = load_recipe(parsed.recipe, parsed.overrides)
        workspace = workspace_of(recipe.name)
        with workspace_lock(workspace):
            needed = {name: load_artifact(workspace, name) for name in stage.needs}
            artifact = stage.run(stage.select(recipe), Inputs(workspace, needed))
    except RetuneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{artifact.path} {artifact.digest}")
    return 0
