"""The ways to adapt a model that train one, each derived from the recipe that is compared.

lora(recipe)  ->  Way("lora", <the recipe with train.method: lora>)

`interpolated` is no way of its own here: it is made of what `full` trains.
"""

from dataclasses import dataclass, replace
from typing import Any

from tasks.config import Recipe, TaskSection, Train
from tasks.config.methods import Interpolate, Replay
from tasks.errors import BadRecipe
from tasks.scoring.probes import load_suite

FULL, LORA, REPLAY, MULTI_TASK = "full", "lora", "replay", "multi_task"
INTERPOLATED = "interpolated"
ONE_PHRASING = "one_phrasing"

CURVE = (125, 250, 500, 1000)
"""Training examples of each task that the learning curve tries, besides all of them."""

MULTI_TASK_RATIO = 0.5
"""Share of old tasks in `multi_task`: as many old examples as new ones, however many there are."""


@dataclass(frozen=True)
class Way:
    """A way that trains a model.

    Attributes:
        name: Of the way.
        recipe: How it trains: the recipe that is compared, changed.
        rows: Number of training examples of each task; None for all.
        one_phrasing: Train on one phrasing of each task only.
    """

    name: str
    recipe: Recipe
    rows: int | None = None
    one_phrasing: bool = False

    @property
    def is_partial(self) -> bool:
        """Whether it trains on other rows than the split's."""
        return self.one_phrasing or self.rows is not None


def full(recipe: Recipe) -> Way:
    """Full fine-tuning on the recipe's tasks alone, with nothing against forgetting.

    Raises:
        BadRecipe: The base model is to be made from scratch, so that there is nothing to compare.
    """
    if recipe.base_model.from_scratch:
        where = f"{recipe.name}: base_model.from_scratch"
        mend = "compare from the model that such a recipe makes"
        raise BadRecipe(where, "a base model with weights", "true", mend)
    own: dict[str, Any] = {"method": "full", "replay": None, "interpolate": None}
    if recipe.train.method != "full":
        own["learning_rate"] = None  # the recipe's is one for adapters
    no_remedy = {"remedies": (), "old_tasks": (), "try_all": False}
    forgetting = recipe.forgetting.model_copy(update=no_remedy)
    return Way(FULL, _changed(recipe, own).model_copy(update={"forgetting": forgetting}))


def interpolated(recipe: Recipe) -> Recipe:
    """The recipe of `full` that goes on with weights between those of base and tuned model."""
    return _changed(full(recipe).recipe, {"interpolate": recipe.train.interpolate or Interpolate()})


def lora(recipe: Recipe) -> Way | str:
    """Adapters instead of all weights, or why not."""
    base = full(recipe).recipe
    if base.train.launch.accelerate == "fsdp":
        return "`train.launch.accelerate: fsdp` trains no adapters"
    if recipe.train.method != "full":
        rate = recipe.train.learning_rate
        return Way(LORA, _changed(base, {"method": recipe.train.method, "learning_rate": rate}))
    # Optimizer and learning rate of the recipe are those of full fine-tuning.
    own = {"method": "lora", "optimizer": "adamw", "learning_rate": None}
    return Way(LORA, _changed(base, own))


def rehearsing(recipe: Recipe) -> tuple[Way, ...] | str:
    """A small and a large share of old tasks among the new ones, or why not."""
    old = old_tasks(recipe)
    if not old:
        return "the recipe names no old tasks (`forgetting.old_tasks`) and has no probes"
    base, replay = full(recipe).recipe, recipe.train.replay or Replay(tasks=old)
    mixed = Replay(ratio=MULTI_TASK_RATIO, tasks=old)
    return (
        Way(REPLAY, _changed(base, {"replay": replay})),
        Way(MULTI_TASK, _changed(base, {"replay": mixed})),
    )


def old_tasks(recipe: Recipe) -> tuple[TaskSection, ...]:
    """The old tasks of a recipe; where it names none, the tasks of its probes.

    The split leaves out every row that a probe measures on, whichever they are.
    """
    if recipe.old_tasks or recipe.forgetting.probes is None:
        return recipe.old_tasks
    return tuple(
        TaskSection(name=f"old-{probe.name}", source=probe.source, prompts=probe.prompts_from)
        for probe in load_suite(recipe.forgetting.probes)
    )


def curve(recipe: Recipe, num_rows: int) -> tuple[Way, ...]:
    """Full fine-tuning on a part of the examples.

    Args:
        recipe: The recipe that is compared.
        num_rows: Training examples of its largest task.
    """
    base = full(recipe).recipe
    return tuple(Way(f"full_{rows}", base, rows=rows) for rows in CURVE if rows < num_rows)


def one_phrasing(recipe: Recipe) -> Way:
    """Full fine-tuning on one phrasing of each task."""
    return Way(ONE_PHRASING, full(recipe).recipe, one_phrasing=True)


def within(way: Way, num_steps: int) -> Way:
    """A way with a budget of optimizer steps, however few rows it has."""
    recipe = _changed(way.recipe, {"max_steps": num_steps, "epochs": num_steps})
    return replace(way, recipe=recipe)


def in_context(recipe: Recipe) -> Recipe:
    """The recipe with all baselines that show worked examples."""
    test = recipe.test.model_copy(update={"baselines": ("zero_shot", "one_shot", "few_shot")})
    return recipe.model_copy(update={"test": test})


def _changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    train = Train.model_validate(dict(recipe.train) | changes)
    return recipe.model_copy(update={"train": train})
