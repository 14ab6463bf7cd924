"""The `tasks` section: what the model is asked to do, and where its examples come from.

- name: support_summary
  source: {path: data/support_chat.jsonl}
  prompts: dialogue_summary
  max_examples: 1000
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.config.section import Name, Section, Share

Format = Literal[
    "auto", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "conll", "parallel", "saved"
]
Shape = Literal["auto", "columns", "prompt_completion", "alpaca", "messages", "sharegpt"]

PLACES = {"path", "hub", "subset", "revision", "dvc", "parallel", "validation", "test"}
"""Fields of a source that say where the bytes lie; what they are is for their digest to say."""


class DvcFile(Section):
    """A file tracked by DVC, in this repository or in another one."""

    repo: str = "."
    """Git repository that tracks the file: a folder or a URL."""

    path: str
    """Path of the tracked file inside the repository."""

    rev: str | None = None
    """Git revision (commit, tag, branch) to read the file at; the working tree when left out."""


class Source(Section):
    """Where records come from. Exactly one of `path`, `hub` and `dvc`."""

    path: str | None = None
    """A file, a glob (`reviews/*.csv`) or a folder; `.gz` of the text formats is read as well."""

    hub: str | None = None
    """Data set on the Hugging Face hub; needs `revision`."""

    revision: str | None = None
    """Commit hash of the hub data set."""

    subset: str | None = None
    """Configuration name of the hub data set, where it has several."""

    dvc: DvcFile | None = None
    """A DVC-tracked file."""

    format: Format = "auto"
    """How the file is written; `auto` goes by its name. `conll`: token and tag columns, a blank
    line between sentences. `parallel`: line-aligned text files. `saved`: a folder written by
    `datasets.Dataset.save_to_disk`."""

    shape: Shape = "auto"
    """What a row looks like: columns of one's own, `prompt`/`completion`, Alpaca
    (`instruction`, `input`, `output`), chat `messages` or ShareGPT `conversations`."""

    columns: dict[str, str] = {}
    """Prompt field -> column of the source: a name, or a number from 0 where there is no header."""

    header: bool = True
    """Whether the first line of a CSV or TSV file names its columns."""

    values: dict[str, dict[str, str]] = {}
    """Prompt field -> value in the source -> value for the prompt, such as
    `label: {"0": negative, "1": positive}`."""

    constants: dict[str, str] = {}
    """Prompt field -> the same value for every record, such as `source_language: Java`."""

    parallel: dict[str, str] = {}
    """Prompt field -> a text file line-aligned with `path` (format `parallel`); the lines of
    `path` are the field `source`."""

    split_column: str | None = None
    """Column that names the ready-made split of a row: train, validation (or dev, valid), test."""

    validation: str | None = None
    """File with a ready-made validation split, written like `path`."""

    test: str | None = None
    """File with a ready-made test split, written like `path`."""

    encoding: str = "utf-8"
    """Character encoding of text files."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(origin is not None for origin in (self.path, self.hub, self.dvc)) != 1:
            raise ValueError("expected exactly one of `path`, `hub` and `dvc`")
        if self.hub is not None and self.revision is None:
            raise ValueError("expected `revision`, the commit of the hub data set to pin")
        if (self.format == "parallel") != bool(self.parallel):
            raise ValueError("expected `format: parallel` together with `parallel: {field: file}`")
        return self


class TaskSection(Section):
    """One task of the training set."""

    name: Name
    """Name of the task in metrics, reports and file names."""

    source: Source
    """Where its records come from."""

    prompts: str | None = None
    """Prompt file: a name in `configs/prompts/` or the path of a YAML file."""

    promptsource: str | None = None
    """Path of a promptsource `templates.yaml` to use instead of `prompts`."""

    max_examples: Annotated[int, Field(ge=1)] | None = None
    """At most this many records, chosen by a seeded hash of their content; all when left out."""

    max_rejected: Share = 0.05
    """Largest share of the rows that may be unusable before the run stops."""

    metrics: tuple[str, ...] | None = None
    """Metrics of this task, the deciding one first; by the kind of task when left out."""

    @model_validator(mode="after")
    def _one_prompt_file(self) -> Self:
        if (self.prompts is None) == (self.promptsource is None):
            raise ValueError("expected exactly one of `prompts` and `promptsource`")
        return self
