"""Probe suites: the tasks that a tuned model must not have forgotten.

A suite is `configs/forgetting/<name>.yaml`; one probe in it, and one example it leads to:

    - {name: sentiment, source: {path: data/probes/review_sentiment.jsonl},
       prompts: review_sentiment}
    {"id": "5a0e...", "task": "sentiment", "template": "plain", "prompt": "Is this review ...",
     "completion": "negative", "references": ["negative"], "label": "negative"}
"""

import difflib
import glob
import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from tasks.config import Generation, Section, Source
from tasks.config.section import Name, at_home
from tasks.data.readers import Unreadable, with_columns
from tasks.data.records import Needs, Record, layout_of, records_of
from tasks.data.shapes import BadRow
from tasks.data.sources import digest_of, parts_of
from tasks.data.sources_archives import split_pattern
from tasks.errors import BadData, BadPrompt, BadRecipe, Issue
from tasks.prompts.document import Document
from tasks.prompts.library import PromptFile, load_prompts
from tasks.prompts.render import RenderError, choose_template, render
from tasks.scoring.harness import Harness, check_installed, digests_of_harness
from tasks.scoring.metrics import DEFAULT_METRICS, check_metrics
from tasks.stage import digest_of_file, logger

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = Path("configs/forgetting")

_TEXTS = ("id", "group_id", "task", "template", "prompt", "completion", "label")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXTS] + [("references", pa.list_(pa.string()))]
)

Side = Literal["all", "validation", "test"]

Measured = tuple[Set[str], Set[str]]
"""Ids of the records that probes measure on, and their prompts in every phrasing."""

LEAST_NEW_TOKENS = 96
"""Room for an answer to a probe: what a task of short answers has would cut most of them, and with
them what was forgotten."""

PHRASING_SEED = 0
"""The phrasing of a probe's row is the same in every run, so that runs can be compared."""


class NoRows(BadData):
    """A probe has no rows left to measure on."""


class Probe(Section):
    """An ability and how it is measured."""

    name: Name
    """Name of the probe in reports."""

    source: Source
    """Where its rows come from; a `path` is relative to the repository that the suite lies in
    (in `configs/forgetting/`), else to the current folder."""

    prompts: str
    """Prompt file: a name in `configs/prompts/` or the path of a YAML file."""

    metrics: list[str] | None = None
    """Its metrics, the deciding one first; by the kind of its prompt file when left out."""

    max_examples: Annotated[int, Field(ge=1)] = 200
    """At most this many rows, chosen by the hash of their content."""


class Suite(Section):
    """A set of probes."""

    name: Name
    """The file's own name."""

    probes: Annotated[list[Probe], Field(min_length=1)]
    """The probes, each with a name of its own."""

    harness: Harness | None = None
    """Tasks of the lm-evaluation-harness that are measured beside the probes."""


@dataclass(frozen=True)
class LoadedProbe:
    """A probe with what it names.

    Attributes:
        name: Of the probe.
        source: Its rows, with a path that holds from the current folder.
        max_examples: At most this many of them.
        prompts: Its phrasings.
        prompts_from: Their file, as the suite names it.
        metrics: The deciding one first.
    """

    name: str
    source: Source
    max_examples: int
    prompts: PromptFile
    prompts_from: str
    metrics: tuple[str, ...]


def load_suite(name_or_path: str) -> tuple[LoadedProbe, ...]:
    """Read a suite and find everything that it names.

    Args:
        name_or_path: A path; or a name, looked up in `./configs/forgetting` and then among the
            suites that come with this package.

    Raises:
        BadInput: The suite, a prompt file or a data file is not usable.
    """
    suite, document = _read(suite_path(name_or_path))
    return tuple(
        _loaded(probe, document, ("probes", index)) for index, probe in enumerate(suite.probes)
    )


def harness_of(name_or_path: str) -> Harness | None:
    """The tasks of the lm-evaluation-harness that a suite names beside its probes.

    Raises:
        BadInput: The suite is not usable, or the harness is not installed.
    """
    suite, document = _read(suite_path(name_or_path))
    if suite.harness is not None:
        check_installed(document.where(("harness",)))
    return suite.harness


def _read(path: Path) -> tuple[Suite, Document]:
    try:
        document = Document.read(path, yaml_tags=())
        suite, issues = document.validated(Suite, ())
    except BadPrompt as error:
        raise BadRecipe.all_of(error.issues) from None
    if suite is None:
        raise BadRecipe.all_of(issues)
    names = [probe.name for probe in suite.probes]
    if len(set(names)) < len(names):
        issues.append(document.issue(("probes",), "probes of different names", ", ".join(names)))
    if suite.name != path.stem:
        issues.append(document.issue(("name",), f"the file's own name, {path.stem}", suite.name))
    if issues:
        raise BadRecipe.all_of(issues)
    return suite, document


def suite_path(name_or_path: str) -> Path:
    """The file of a suite.

    Raises:
        BadRecipe: There is none.
    """
    folders = (SUITES, REPOSITORY / SUITES)
    for path in (
        Path(at_home(name_or_path)),
        *(folder / f"{name_or_path}.yaml" for folder in folders),
    ):
        if path.is_file():
            return path
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    close = difflib.get_close_matches(name_or_path, known, n=1)
    mend = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    if Path(name_or_path).suffix and not close:
        mend = f"check the path; the current folder is {Path.cwd()}"
    expected = "a probe suite, or its name in configs/forgetting"
    raise BadRecipe(f"forgetting.probes: {name_or_path}", expected, "no such file", mend)


def digests_of(name_or_path: str) -> dict[str, str]:
    """Digests of all that a suite is made of: its file, prompt files and rows."""
    digests = {"suite": digest_of_file(suite_path(name_or_path))}
    if harness := harness_of(name_or_path):
        digests |= digests_of_harness(harness)
    for loaded in load_suite(name_or_path):
        digests[f"prompts of {loaded.name}"] = loaded.prompts.digest
        digests[f"rows of {loaded.name}"] = digest_of(loaded.source)
    return digests


def generation_for_probes(generation: Generation) -> Generation:
    """How answers to probes are generated: greedily, and as long in one recipe as in another.

    Args:
        generation: The recipe's section, or what a registered model is served with.
    """
    return Generation(
        max_new_tokens=max(generation.max_new_tokens, LEAST_NEW_TOKENS),
        batch_tokens=generation.batch_tokens,
        engine=generation.engine,
    )


def examples_of_suite(
    suite: Sequence[LoadedProbe], max_examples: int | None, scratch: Path, split: Path, side: Side
) -> tuple[list[dict[str, Any]], list[Issue]]:
    """The examples of every probe, less those trained on; and why some probes have none.

    Args:
        suite: The probes.
        max_examples: A lower limit than each probe's own, if any.
        scratch: Folder for rows that have to be fetched first.
        split: Artifact of the stage split.
        side: As for `examples_of`.

    Raises:
        BadData: A row is not usable.
    """
    trained = pq.read_table(split / "train.parquet", columns=["id", "prompt"])
    ids, prompts = (set(column.to_pylist()) for column in trained.columns)
    examples: list[dict[str, Any]] = []
    issues: list[Issue] = []
    for loaded in suite:
        try:
            examples += examples_of(loaded, max_examples, scratch, ids, prompts, side)
        except NoRows as error:
            issues += error.issues
    return examples, issues


def tell_left_out(issues: Sequence[Issue], examples: Sequence[object]) -> None:
    """Warn of probes that are left out, having no rows to measure on.

    Raises:
        NoRows: None is left.
    """
    if not examples:
        raise NoRows.all_of(issues)
    for issue in issues:
        message = "%s is left out, for want of %s: %s; %s"
        logger.warning(message, issue.where, issue.expected, issue.found, issue.mend)


def examples_of(
    loaded: LoadedProbe,
    max_examples: int | None,
    scratch: Path,
    known_ids: Set[str] = frozenset(),
    known_prompts: Set[str] = frozenset(),
    side: Side = "all",
) -> list[dict[str, Any]]:
    """The examples of a probe, less those that were trained on.

    Args:
        loaded: The probe.
        max_examples: A lower limit than the probe's own, if any.
        scratch: Folder for rows that have to be fetched first.
        known_ids: Ids of training records.
        known_prompts: Prompts trained on, in whatever phrasing of the same file.
        side: All of them, or the half by which choices are made or the one that judges them.

    Raises:
        BadData: A row is not usable.
        NoRows: All of them were trained on, or none is on the side.
    """
    hashed = {
        hashlib.sha256(record.id.encode()).digest(): (where, record)
        for where, record in _records(loaded, scratch)
    }
    limit = min(loaded.max_examples, max_examples or loaded.max_examples)
    examples: list[dict[str, Any]] = []
    for _, (where, record) in sorted(hashed.items(), key=lambda item: item[0]):
        if len(examples) == limit:
            break
        try:
            if record.id not in known_ids and not _rendered(loaded, record) & known_prompts:
                examples.append(_example(loaded, record))
        except RenderError as error:
            expected = f"a row that fits the prompts {loaded.prompts.name}"
            raise BadData(where, expected, str(error)) from None
    if not examples:
        mend = "take the probe out of the suite, or its rows out of the training data"
        raise NoRows(f"the probe {loaded.name}", "rows that were not trained on", "none", mend)
    chosen = [example for example in examples if side in ("all", side_of(example["id"]))]
    if not chosen:
        found = f"none of its {len(examples)} on the side {side}"
        mend = "give it more rows, or raise forgetting.max_examples"
        raise NoRows(f"the probe {loaded.name}", "rows on both sides", found, mend)
    return chosen


def side_of(record: str) -> Literal["validation", "test"]:
    """The half that a probe's row belongs to, by a hash of its record's id."""
    digest = hashlib.sha256(f"side {record}".encode()).digest()
    return "validation" if digest[0] % 2 else "test"


def write_examples(path: Path, examples: Sequence[Mapping[str, Any]]) -> Path:
    """Write examples as the scoring process reads them."""
    pq.write_table(pa.Table.from_pylist(list(examples), schema=SCHEMA), path)
    return path


def measured_on(name_or_path: str, max_examples: int | None, scratch: Path) -> Measured:
    """The rows that a suite measures on, which are not to be trained on.

    Args:
        name_or_path: The suite.
        max_examples: A lower limit than the probes' own, if any.
        scratch: Folder for rows that have to be fetched first.
    """
    ids: set[str] = set()
    prompts: set[str] = set()
    for loaded in load_suite(name_or_path):
        chosen = {example["id"] for example in examples_of(loaded, max_examples, scratch)}
        for _, record in _records(loaded, scratch):
            if record.id in chosen:
                prompts |= _rendered(loaded, record)
        ids |= chosen
    return ids, prompts


def _loaded(probe: Probe, document: Document, loc: tuple[str | int, ...]) -> LoadedProbe:
    prompts = load_prompts(probe.prompts)
    metrics = probe.metrics if probe.metrics is not None else DEFAULT_METRICS[prompts.task]
    check_metrics(metrics, document.where((*loc, "metrics")))
    return LoadedProbe(
        name=probe.name,
        source=_located(probe.source, document.path),
        max_examples=probe.max_examples,
        prompts=prompts,
        prompts_from=probe.prompts,
        metrics=tuple(metrics),
    )


def _located(source: Source, suite: Path) -> Source:
    if source.path is None:
        return source
    path = str(suite.resolve().parent.parent.parent / at_home(source.path))
    is_there = bool(glob.glob(split_pattern(path)[0]))
    return source.model_copy(update={"path": path}) if is_there else source


def _records(loaded: LoadedProbe, scratch: Path) -> Iterator[tuple[str, Record]]:
    """Each record of a probe, with the place it was read from."""
    prompts = loaded.prompts
    needs = Needs(fields=tuple(sorted(prompts.slots)), target=prompts.target)
    for part in parts_of(loaded.source, scratch):
        columns, rows = with_columns(part.rows())
        layout = layout_of(columns, needs, loaded.source, part.name)
        for line, row in rows:
            where = f"{part.name}:{line}"
            if isinstance(row, Unreadable):
                raise BadData(where, "a row that can be read", row.reason)
            try:
                made = records_of(row, layout, None)
            except BadRow as error:
                raise BadData(where, "a row that the probe can use", str(error)) from None
            yield from ((where, record) for record in made)


def _rendered(loaded: LoadedProbe, record: Record) -> set[str]:
    templates = loaded.prompts.templates
    return {render(loaded.prompts, record.values, template).prompt for template in templates}


def _example(loaded: LoadedProbe, record: Record) -> dict[str, Any]:
    prompts = loaded.prompts
    template = choose_template(record.id, prompts.training, PHRASING_SEED)
    rendered = render(prompts, record.values, template, record.references[1:])
    return {
        "id": record.id,
        "group_id": record.group_id,
        "task": loaded.name,
        "template": template.name,
        "prompt": rendered.prompt,
        "completion": rendered.completion,
        # The field behind the answer may hold more: a whole text of which the second half is asked.
        "references": list(rendered.references),
        "label": rendered.completion if prompts.task == "classification" else None,
        "text": "\n".join(str(record.values[slot]) for slot in prompts.slots),
    }
