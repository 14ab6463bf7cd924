"""A registered version at work: a reference and a prompt in, a completion out.

complete("support-summarizer@challenger", "Summarize the following conversation. ...")
"""

import warnings

import pandas as pd  # type: ignore[import-untyped,unused-ignore]

from tasks.errors import BadModel
from tasks.tracking.connection import retry_while_down
from tasks.tracking.registry import Version, by_alias, by_version

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
    """Load a version as MLflow does wherever it is served; waits while the server is down."""
    uri = f"models:/{version.model}/{version.version}"
    return retry_while_down(lambda: load_model(uri))


def complete(reference: str, prompt: str) -> str:
    """Have a version complete one ready prompt, with its stored settings.

    Args:
        reference: `MODEL@ALIAS` or `MODEL/VERSION`.
        prompt: The instruction, as it is; no template is applied.

    Raises:
        BadModel: There is no such version.
    """
    model = load(resolve(reference))
    completions: list[str] = model.predict(pd.DataFrame({"prompt": [prompt]}))
    return completions[0]
