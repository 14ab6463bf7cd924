"""Answers prompts by a registered version: a reference and a prompt in, a completion out.

complete(resolve("support-summarizer@challenger"), "Summarize the following conversation. ...")
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped,unused-ignore]
from mlflow.exceptions import MlflowException

from tasks.config import Recipe
from tasks.data.base_model import folder_of
from tasks.errors import BadInput, BadModel
from tasks.stage import digest_of_folder
from tasks.tracking.connection import is_down, retry_while_down
from tasks.tracking.registry import Version, by_alias, by_version
from tasks.tracking.run import fetch_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of MLflow about type hints of its own
    from mlflow.pyfunc import PyFuncModel, load_model


def resolve(reference: str) -> Version:
    """The version that `MODEL@ALIAS` or `MODEL/VERSION` means.

    Raises:
        BadModel: There is none, or the reference is written otherwise.
    """
    model, separator, rest = reference.partition("@" if "@" in reference else "/")
    if not (model and rest) or (separator == "/" and not rest.isdigit()):
        mend = "such as support-summarizer@champion or support-summarizer/3"
        raise BadModel(reference, "MODEL@ALIAS or MODEL/VERSION", repr(reference), mend)
    if separator == "/":
        return by_version(model, rest)
    version = by_alias(model, rest)
    if version is None:
        mend = "`retune models` lists what there is"
        raise BadModel(reference, f"a version with the alias {rest}", "none", mend)
    return version


def load(version: Version) -> PyFuncModel:
    """Load a version as MLflow does wherever it is served; waits while the server is down.

    Raises:
        BadModel: Its files are not where they should be.
    """
    uri = f"models:/{version.model}/{version.version}"
    try:
        return retry_while_down(lambda: load_model(uri))
    except (MlflowException, OSError) as error:
        if is_down(error):
            raise
        mend = "restore the artifacts; `retune verify` tells what is missing"
        raise BadModel(uri, "the files of a version that Retune made", str(error), mend) from error


def complete(version: Version, prompt: str) -> str:
    """Have a version complete one ready prompt, with its stored settings.

    Args:
        version: The version.
        prompt: The instruction, as it is; no template is applied.

    Raises:
        BadInput: The prompt is too long.
    """
    return predict(load(version), [{"prompt": prompt}])[0]


def predict(model: PyFuncModel, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Have a loaded version answer rows: records, or ready instructions in a field `prompt`.

    Raises:
        BadInput: A row can't be used.
    """
    table = pd.DataFrame(rows)
    schema: Any = model.metadata.get_input_schema()  # type: ignore[no-untyped-call]
    if schema is not None:  # MLflow warns of every column that is not in it
        table = table[[name for name in table.columns if name in schema.input_names()]]
    try:
        completions: list[str] = model.predict(table)
    except MlflowException as error:
        if isinstance(error.__cause__, BadInput):
            raise error.__cause__ from None
        raise BadInput("rows", "rows that the model takes", error.message) from error
    if len(completions) < len(rows):  # MLflow leaves out rows that have no column it knows
        found = f"{len(rows) - len(completions)} rows without any"
        raise BadInput("rows", "the columns of a template, or a column prompt", found)
    return completions


def complete_by_base(version: Version, prompt: str, scratch: Path) -> str:
    """Have the base model that a version was made from complete a prompt, as in the test.

    Args:
        version: The version.
        prompt: The instruction.
        scratch: Folder for the recipe.

    Raises:
        BadModel: The base model is not on this machine any more, or is another one by now.
    """
    import torch

    from tasks.scoring.generate import complete as generate
    from tasks.scoring.generate import load_generator

    kept = fetch_file(version.run_id, "recipe.json", scratch)
    where = f"{version.model}/{version.version}"
    if kept is None:
        raise BadModel(where, "a version whose run has its recipe", "none")
    recipe = Recipe.model_validate_json(kept.read_text(encoding="utf-8"))
    folder = folder_of(recipe.base_model)
    if digest_of_folder(folder) != version.tags.get("retune.base_model_digest"):
        raise BadModel(str(folder), f"the base model that {where} was made from", "another one")
    base = recipe.base_model
    torch.manual_seed(recipe.split.seed)  # as where it was tested: weights may be drawn by it
    generator = load_generator(
        folder,
        base.allow_pickle,
        base.from_scratch,
        chat_template=base.chat_template,
        trust_remote_code=base.trust_remote_code,
    )
    return generate(generator, [prompt], recipe.generation, recipe.train.max_prompt_tokens)[0].text
