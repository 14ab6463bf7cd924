"""The registered model: MLflow executes this file wherever a version is loaded or served.

It takes records, renders them in the template that the model was trained with, and answers:

    [{"dialogue": "Ana: Lunch at one?\\nBo: See you there."}]  ->  ["Ana and Bo meet at one."]

Ready instructions go in a column `prompt`. The `tasks` modules that render and generate travel
with the version, so test and serving can't differ, and the repository need not be there.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped,unused-ignore]
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import ValidationError

from tasks.config import Generation
from tasks.errors import BadInput
from tasks.prompts.library import PromptFile, PromptTemplate
from tasks.prompts.render import RenderError, render_prompt

MAX_ROWS = 1000
"""Rows that one call may have."""

MAX_NEW_TOKENS = 1024
"""Most tokens of a completion that a call may ask for, where the stored setting is lower."""

MAX_CHARACTERS_PER_TOKEN = 50
"""A prompt longer than this times its limit in tokens is refused before it is tokenized."""


class InstructModel(PythonModel):
    """A fine-tuned model with its prompt templates and generation settings."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model, the templates and the settings from the version's artifacts."""
        # Torch's threads, once it is there, would wait by spinning: with a training beside it the
        # model then took about twice as long to answer. Alone it makes no difference.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from tasks.scoring.combining import Combined
        from tasks.scoring.generate import load_generator  # brings in torch

        retune = Path(context.artifacts["retune"])
        self.settings = json.loads((retune / "generation.json").read_text(encoding="utf-8"))
        self.generator = load_generator(
            Path(context.artifacts["model"]),
            trust_remote_code=self.settings.get("trust_remote_code", False),
        )
        self.together = Combined(self.complete)  # MLflow's server calls from several threads
        self.prompts = {
            path.stem: prompt_file(json.loads(path.read_text(encoding="utf-8")))
            for path in sorted((retune / "prompts").glob("*.json"))
        }

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> list[str]:
        """Answer every row.

        Args:
            context: Not used; the model is loaded already.
            model_input: One row for each answer: the template's slots as columns (and `task`
                where the model has several), or the column `prompt`.
            params: `temperature` (0 is greedy), `top_p`, `max_new_tokens`, `seed`, and
                `template`, the name of a stored template (empty for the first that was
                trained on).

        Returns:
            One completion for each row, in their order.
        """
        try:
            if model_input.columns.empty:  # MLflow leaves out those that it does not know
                raise BadInput("rows", "the columns of a template, or a column prompt", "neither")
            return self.answers(model_input.to_dict(orient="records"), params or {})
        except BadInput as error:  # so that a server answers 400, and says why
            raise MlflowException(str(error), BAD_REQUEST) from error

    def answers(self, rows: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> list[str]:
        """Answer rows, within the limits.

        Raises:
            BadInput: There are too many rows, a prompt is too long, or a parameter is out of range.
        """
        if len(rows) > MAX_ROWS:
            mend = "send them in several calls"
            raise BadInput("rows", f"at most {MAX_ROWS} in one call", str(len(rows)), mend)
        given = {name: value for name, value in params.items() if value is not None}
        settings = self.settings | given
        generation = self.generation(settings)
        prompts = [
            self.prompt_of(row, number, str(settings.get("template", "")))
            for number, row in enumerate(rows, start=1)
        ]
        for number, prompt in enumerate(prompts, start=1):
            self.check_length(prompt, number, generation)
        return self.together(generation, prompts, may_share=generation.temperature == 0)

    def generation(self, settings: Mapping[str, Any]) -> Generation:
        """The settings of a call.

        Raises:
            BadInput: One is out of its range.
        """
        most = max(MAX_NEW_TOKENS, int(self.settings["max_new_tokens"]))
        if int(settings["max_new_tokens"]) > most:
            found = str(settings["max_new_tokens"])
            raise BadInput("params.max_new_tokens", f"at most {most}", found)
        try:
            return Generation(
                max_new_tokens=int(settings["max_new_tokens"]),
                temperature=float(settings["temperature"]),
                top_p=float(settings["top_p"]),
                seed=int(settings["seed"]),
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise BadInput(
                f"params.{first['loc'][0]}", first["msg"], repr(first["input"])
            ) from error

    def check_length(self, prompt: str, number: int, generation: Generation) -> None:
        """Check that a prompt is within the limit that the model was tested with.

        Raises:
            BadInput: It is longer.
        """
        from tasks.scoring.generate import prompt_limit

        limit = prompt_limit(self.generator, int(self.settings["max_prompt_tokens"]), generation)
        if len(prompt) > MAX_CHARACTERS_PER_TOKEN * limit:
            found = f"{len(prompt)} characters"
        elif (num_tokens := len(self.generator.encode(prompt, None)[0])) > limit:
            found = f"{num_tokens} tokens"
        else:
            return
        mend = "shorten it: what is cut off is not answered"
        raise BadInput(f"row {number}", f"a prompt of at most {limit} tokens", found, mend)

    def prompt_of(self, row: Mapping[str, Any], number: int, template: str) -> str:
        """The instruction of one row: ready-made, or rendered in a stored template.

        Raises:
            BadInput: The row has neither, or names a task or template that is not there.
        """
        ready = row.get("prompt")
        if isinstance(ready, str) and ready.strip():
            return ready
        task = self._task_of(row, number)
        prompts = self.prompts[task]
        try:
            return render_prompt(prompts, row, _template(prompts, template))
        except RenderError as error:
            slots = ", ".join(prompts.slots)
            expected = f"the columns {slots}, or a column prompt"
            raise BadInput(f"row {number}", expected, str(error)) from error

    def complete(self, generation: Generation, prompts: Sequence[str]) -> list[str]:
        """Generate as the test stage did."""
        from tasks.scoring.generate import complete

        limit = int(self.settings["max_prompt_tokens"])
        completions = complete(self.generator, prompts, generation, limit)
        return [completion.text for completion in completions]

    def _task_of(self, row: Mapping[str, Any], number: int) -> str:
        task = row.get("task")
        if task is None or (isinstance(task, float) and math.isnan(task)):
            if len(self.prompts) > 1:
                raise BadInput(f"row {number}", self._tasks(), "no column task")
            return next(iter(self.prompts))
        if task not in self.prompts:
            raise BadInput(f"row {number}", self._tasks(), repr(task))
        return str(task)

    def _tasks(self) -> str:
        return f"one of the tasks {', '.join(self.prompts)}, or a column prompt"


def prompt_file(content: Mapping[str, Any]) -> PromptFile:
    """A stored prompt file, as the rendering takes it."""
    templates = tuple(
        PromptTemplate(entry["name"], entry["heldout"], entry["prompt"], entry["completion"])
        for entry in content["templates"]
    )
    return PromptFile(
        name=content["name"],
        version=str(content["version"]),
        task=content["task"],
        slots=tuple(content["slots"]),
        target=content["target"],
        choices=tuple(content["choices"]),
        templates=templates,
        example={},
    )


def _template(prompts: PromptFile, name: str) -> PromptTemplate:
    if not name:
        return prompts.training[0]
    for template in prompts.templates:
        if template.name == name:
            return template
    known = ", ".join(template.name for template in prompts.templates)
    raise BadInput("params.template", f"one of {known}", repr(name))


set_model(InstructModel())
