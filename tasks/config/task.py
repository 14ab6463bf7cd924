"""The `tasks` section: what the model is asked to do, and where its examples come from.

- name: support_summary
  source: {path: data/support_chat.jsonl}
  prompts: dialogue_summary
  max_examples: 1000
"""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.config.section import FilePath, Name, Section, Share

Format = Literal[
    "auto",
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "arrow",
    "conll",
    "lines",
    "documents",
    "passages",
    "tagged_lines",
    "natural_instructions",
    "parallel",
    "saved",
]
Shape = Literal["auto", "columns", "prompt_completion", "alpaca", "messages", "sharegpt"]

PLACES = {"path", "hub", "subset", "revision", "dvc", "parallel", "validation", "test"}
"""Fields of a source that say where the bytes lie; what they are is for their digest to say."""


class DvcFile(Section):
    """A file tracked by DVC, in this repository or in another one."""

    repo: FilePath = "."
    """Git repository that tracks the file: a folder, or a URL without a password."""

    path: FilePath
    """Path of the tracked file inside the repository."""

    rev: str | None = None
    """Git revision (commit, tag, branch) to read the file at; the working tree when left out."""

    @model_validator(mode="after")
    def _without_password(self) -> Self:
        if re.match(r"https?://[^/@]*@|\w+://[^/@]*:[^/@]*@", self.repo):
            # Recipes are kept in manifests and with every MLflow run.
            raise ValueError("expected `repo` without a password; a git credential helper has it")
        return self


class Source(Section):
    """Where records come from. Exactly one of `path`, `hub` and `dvc`."""

    path: FilePath | None = None
    """A file, a glob (`reviews/*.csv`, with folders `books/**/*.txt`), a folder, or an archive
    (zip, tar, tar.gz, tar.xz). `fairytaleqa.zip!*train*.csv` are the files in an archive whose
    whole name matches, `*` matching `/` too. `.gz`, `.zst`, `.bz2` and `.xz` of the text formats
    are read as well. A folder stands for its files, but for hidden ones, those that start with
    `_`, and the folders in it."""

    hub: str | None = None
    """Data set on the Hugging Face hub; needs `revision`."""

    revision: str | None = None
    """Commit hash of the hub data set. `retune retrain` also takes a branch, and pins the commit
    that is its newest then."""

    subset: str | None = None
    """Configuration name of the hub data set, where it has several."""

    dvc: DvcFile | None = None
    """A DVC-tracked file."""

    format: Format = "auto"
    """How the file is written; `auto` goes by its name. `conll`: token and tag columns, a blank
    line between sentences. `lines`, `documents`, `passages`: plain text, of which each line, each
    file or some paragraphs at a time are the field `text`. `tagged_lines`: `<Pros>Light</Pros>`,
    with the fields `text` and `label`. `natural_instructions`: tasks with their instances as in
    Super-NaturalInstructions and Self-Instruct, with the fields `instruction`, `input` and
    `output`. `parallel`: line-aligned text files. `saved`: a folder written by
    `datasets.Dataset.save_to_disk`."""

    shape: Shape = "auto"
    """What a row looks like: columns of one's own, `prompt`/`completion` (texts, or turns), Alpaca
    (`instruction`, `input`, `output`), chat `messages` or ShareGPT `conversations`. The prompt of
    an answer in a conversation is what was said before, a column `system` first, and the tools of a
    column `tools` before that. Its turns begin with lines `<|tools|>`, `<|system|>`, `<|user|>`,
    `<|assistant|>` and `<|tool|>`; a model reads them in its own chat template. Calls of tools
    (`tool_calls`, or turns `function_call`) are learnt as that template writes them: as JSON with
    name and arguments, or in the tags of Qwen 3 Coder and GLM; where it has another form or none,
    as `<tool_call>` and JSON."""

    answers: Literal["last", "all"] = "last"
    """Which answers of a conversation are learnt: the last one, or all, each as a record of its own
    and all on one side of the split; never those whose `weight` is 0. A decoder-only model reads
    all of them in one pass in training, where its chat template writes an answer that was given as
    the model is to write it; a step of as many tokens then learns more answers."""

    columns: dict[str, str] = {}
    """Prompt field -> column of the source: a name, a number from 0 where there is no header, or
    the path of a nested field, such as `answers.text`. Where the column of the answer has lists,
    the first item is trained on, and each is right. `messages: chat` says that a conversation is in
    the column `chat`."""

    header: bool = True
    """Whether the first line of a CSV or TSV file names its columns. A CSV file without a header of
    which only column 0 is used is never split at semicolons."""

    token_column: Annotated[int, Field(ge=0)] = 0
    """Number of the column with the token (format `conll`), from 0."""

    tag_column: Annotated[int, Field(ge=-1)] = -1
    """Number of the column with the tag (format `conll`), from 0; -1 is the last."""

    passage_words: Annotated[int, Field(ge=1)] = 120
    """About how many words a passage has (format `passages`); it ends where a paragraph does."""

    path_fields: str | None = None
    """Regular expression with named groups that are fields of every record of a file, such as
    `(?P<label>pos|neg)/`. It is searched in the file's path below the folder or the first
    wildcard of `path`, in the name of a single file, and in the name inside an archive."""

    values: dict[str, dict[str, str]] = {}
    """Prompt field -> value in the source -> value for the prompt, such as
    `label: {"0": negative, "1": positive}`."""

    constants: dict[str, str] = {}
    """Prompt field -> the same value for every record, such as `source_language: Java`."""

    parallel: dict[str, FilePath] = {}
    """Prompt field -> a text file line-aligned with `path` (format `parallel`); the lines of
    `path` are the field `source`."""

    split_column: str | None = None
    """Column that names the ready-made split of a row: train, validation (or dev, val, valid) or
    test, also training and testing, in capitals or not."""

    splits: dict[str, Literal["train", "validation", "test"]] = {}
    """Ready-made split, of a data set or by `split_column` -> what it is used as; others are left
    out. By their names when left out. `{train: train, validation: test}` is for a data set whose
    own test split has no answers: validation records are then set aside from train."""

    group_column: str | None = None
    """Column whose equal values stay on one side of the split: a customer, a ticket, a document.
    Rows without a value stand for themselves."""

    validation: FilePath | None = None
    """File with a ready-made validation split, written like `path`."""

    test: FilePath | None = None
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

    @model_validator(mode="after")
    def _named_groups(self) -> Self:
        if self.path_fields is None:
            return self
        if self.hub is not None or self.format in ("parallel", "saved"):
            raise ValueError("expected `path_fields` with files that are read one by one")
        try:
            groups = re.compile(self.path_fields).groupindex
        except re.error as error:
            raise ValueError(
                f"expected `path_fields` to be a regular expression ({error})"
            ) from None
        if not groups:
            raise ValueError("expected `path_fields` with a named group: `(?P<label>pos|neg)/`")
        return self


class TaskSection(Section):
    """One task of the training set."""

    name: Name
    """Name of the task in metrics, reports and file names."""

    source: Source
    """Where its records come from."""

    prompts: FilePath | None = None
    """Prompt file: a name in `configs/prompts/` or the path of a YAML file."""

    promptsource: FilePath | None = None
    """Path of a promptsource `templates.yaml` to use instead of `prompts`."""

    max_examples: Annotated[int, Field(ge=1)] | None = None
    """At most this many records, chosen by a hash of their content, so that more rows replace few
    of them; all when left out. With `answers: all`, whole conversations are chosen, and some
    answers of the last one; with a `group_column`, records of any group."""

    max_rejected: Share = 0.05
    """Largest share of the rows that may be unusable before the run stops."""

    metrics: tuple[str, ...] | None = None
    """Metrics of this task, the deciding one first; by the kind of task when left out."""

    @model_validator(mode="after")
    def _one_prompt_file(self) -> Self:
        if (self.prompts is None) == (self.promptsource is None):
            raise ValueError("expected exactly one of `prompts` and `promptsource`")
        return self
