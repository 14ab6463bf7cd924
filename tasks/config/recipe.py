"""The recipe as a whole; `configs/recipes/support_chat.yaml` is one."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.config.base_model import BaseModelSection
from tasks.config.evaluation import Generation, Holdout
from tasks.config.forgetting import Forgetting
from tasks.config.mixture import Mixture
from tasks.config.registry import Registry
from tasks.config.retrain import Retrain
from tasks.config.section import Name, Section
from tasks.config.split import Split
from tasks.config.task import TaskSection
from tasks.config.train import Train


class Recipe(Section):
    """One run: what to train on, how, and by which evidence to judge the result."""

    name: Name
    """Name of the run's workspace, MLflow experiment and Prefect flow runs."""

    base_model: BaseModelSection
    """The model that fine-tuning starts from."""

    tasks: Annotated[tuple[TaskSection, ...], Field(min_length=1)]
    """What the model is asked to do: one task, or several for multi-task fine-tuning."""

    mixture: Mixture = Mixture()
    """How several tasks share a training set."""

    split: Split = Split()
    """How records are divided into training, validation and test."""

    train: Train = Train()
    """How the weights are updated."""

    generation: Generation = Generation()
    """How completions are generated."""

    test: Holdout = Holdout()
    """What the tuned model is measured against."""

    forgetting: Forgetting = Forgetting()
    """Which abilities must not be lost, and what to try where they were."""

    registry: Registry
    """Where the model version goes."""

    retrain: Retrain = Retrain()
    """What `retune retrain` does with new data."""

    @property
    def old_tasks(self) -> tuple[TaskSection, ...]:
        """Tasks that are rehearsed, or kept ready for a remedy."""
        return self.train.replay.tasks if self.train.replay else self.forgetting.old_tasks

    @property
    def trained_tasks(self) -> tuple[TaskSection, ...]:
        """All tasks with examples to train on: the recipe's own and the old ones."""
        return self.tasks + self.old_tasks

    @property
    def chooses_by_probes(self) -> bool:
        """Whether a choice is made on half of the probes' rows, so that the others must judge."""
        return self.train.interpolate is not None or bool(self.forgetting.remedies)

    @model_validator(mode="after")
    def _rows_on_both_sides(self) -> Self:
        if self.chooses_by_probes and self.forgetting.max_examples == 1:
            raise ValueError(
                "expected forgetting.max_examples of at least 2 where a model is chosen by probes, "
                "on half of their rows"
            )
        return self

    @model_validator(mode="after")
    def _weights_to_adapt(self) -> Self:
        if self.base_model.from_scratch and self.train.method != "full":
            raise ValueError("expected train.method `full` where base_model.from_scratch is true")
        if self.base_model.from_scratch and self.train.interpolate:
            raise ValueError("expected no train.interpolate where base_model.from_scratch is true")
        if self.base_model.from_scratch and self.forgetting.remedies:
            raise ValueError(
                "expected no forgetting.remedies where base_model.from_scratch is true"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        if self.train.interpolate and self.forgetting.remedies:
            raise ValueError("expected train.interpolate or forgetting.remedies, not both")
        if self.train.replay and self.forgetting.old_tasks:
            raise ValueError("expected train.replay.tasks or forgetting.old_tasks, not both")
        return self

    @model_validator(mode="after")
    def _consistent_tasks(self) -> Self:
        names = [task.name for task in self.tasks]
        trained = [task.name for task in self.trained_tasks]
        if len(set(trained)) < len(trained):
            raise ValueError("expected task names that differ from each other")
        if self.mixture.strategy == "weights" and set(self.mixture.weights) != set(names):
            raise ValueError(f"expected mixture.weights for exactly the tasks {', '.join(names)}")
        return self
