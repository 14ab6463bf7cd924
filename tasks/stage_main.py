"""The command line that every stage shares: `python -m tasks.split --recipe RECIPE`."""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tasks.config import Recipe, load_recipe
from tasks.errors import BadWorkspace, RetuneError
from tasks.garbage import collect_seldom
from tasks.home import prepare_environment, state_home, workspace_of
from tasks.lock import workspace_lock
from tasks.stage import Inputs, S, Stage, load_artifact, read_manifest


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
    collect_seldom()
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("retune").setLevel(logging.INFO)
    try:
        prepare_environment()
        recipe = load_recipe(parsed.recipe, parsed.overrides)
        workspace = workspace_of(recipe.name)
        with workspace_lock(workspace):
            needed = {name: load_artifact(workspace, name) for name in stage.needs}
            section, inputs = stage.select(recipe), Inputs(workspace, needed)
            with _tracked(stage, section, inputs, recipe):
                artifact = stage.run(section, inputs)
    except RetuneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        no_room = BadWorkspace.behind(error, state_home())
        if no_room is None:
            raise
        print(no_room, file=sys.stderr)
        return no_room.exit_code
    print(f"{artifact.path} {artifact.digest}")
    return 0


@contextmanager
def _tracked(stage: Stage[S], section: S, inputs: Inputs, recipe: Recipe) -> Iterator[None]:
    """The MLflow run, which `train` starts and `register` ends; other stages log nothing to it."""
    if stage.name not in ("train", "register") or stage.is_valid(section, inputs):
        yield
        return
    from tasks.tracking.run import tracked  # takes seconds

    if stage.name == "train":
        key = stage.key(section, inputs)
    else:
        key = str((read_manifest(inputs["train"]) or {})["key"])
    with tracked(recipe, inputs.workspace, key, {}, finishes=stage.name == "register"):
        yield
