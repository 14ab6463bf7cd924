"""Turn a row of a source into a record: its fields as clean text, its references, its id.

    row     {"text": " The zip broke.\\r\\n", "label": 0}       with values {label: {"0": negative}}
    record  id "5a0e...", values {"label": "negative", "text": "The zip broke."},
            references ("negative",), split None, group_id None

Clean text is in Unicode NFC, with LF as line end and no white space around it, zero-width included;
so are the values that a recipe translates from and to. Numbers and booleans are
written as JSON writes them, whole numbers without a fraction (5.0 is "5").
"""

import datetime
import decimal
import difflib
import hashlib
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from tasks.config import Section, Source
from tasks.data.readers_rows import cell
from tasks.data.ready_made import NAMES, side_of
from tasks.data.shapes import PAIRS, SHAPES, TURNS, BadRow, Shape, recognise
from tasks.errors import BadData

_BLANK = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"
"""White space, and what Unicode has of no width: Python's `strip` leaves that."""


_SHOWN_NAMES = 30


class Needs(Section):
    """What a task needs of each record."""

    fields: tuple[str, ...]
    """The slots of its prompts, sorted."""

    target: str
    """The field that its completions are made of."""

    may_be_empty: tuple[str, ...] = ()
    """Those of the fields that may be empty or missing."""

    choices: tuple[str, ...] = ()
    """The only values that the target may have; any when empty."""


@dataclass(frozen=True)
class Record:
    """One example before any prompt is put around it.

    Attributes:
        id: 16 hex digits of the sha256 of its content: fields and references.
        split: "train", "validation", "test", or None where the source does not say.
        references: What counts as a right completion; the target's value first.
        values: Field -> text.
        group_id: Digest of what it shares with the records that are to stay on its side of the
            split; None where there are none.
    """

    id: str
    split: str | None
    references: tuple[str, ...]
    values: Mapping[str, str]
    group_id: str | None = None


@dataclass(frozen=True)
class Layout:
    """Where in a row the parts of a record are.

    Attributes:
        needs: What to look for.
        shape: Turns the row into fields first; None where its columns are taken as they are.
        columns: Field -> column, for fields without a constant.
        numbered: What further references are called but for their number, if there can be any.
        values: Field -> value in the source -> value in the record.
        constants: Field -> value.
        split_column: Column of the ready-made split, if any.
        splits: What its values are used as, where the recipe says so.
        group_column: Column whose equal values stay on one side, if any.
        turns_column: Column of a conversation, where it is mapped.
        answers: "last" or "all" of a conversation.
    """

    needs: Needs
    shape: Shape | None
    columns: Mapping[str, str]
    numbered: str | None
    values: Mapping[str, Mapping[str, str]]
    constants: Mapping[str, str]
    split_column: str | None
    splits: Mapping[str, str]
    group_column: str | None
    turns_column: str | None
    answers: str


def layout_of(columns: Sequence[str], needs: Needs, source: Source, where: str) -> Layout:
    """Find the parts of a record among the columns of a file.

    Args:
        columns: The columns that are there.
        needs: What the task needs.
        source: Mappings and shape.
        where: The file, for the message.

    Raises:
        BadData: A column that is needed is not there.
    """
    fields = [field for field in (*needs.fields, needs.target) if field not in source.constants]
    wanted = {field: source.columns.get(field, field) for field in fields}
    target = wanted.get(needs.target)
    # The columns "q1", "q2" and "q12" are no three references, nor are "1" and "12".
    numbered = target if target and not target[-1].isdigit() else None
    if numbered and target not in columns and f"{target}1" in columns:
        wanted[needs.target] = f"{target}1"
    # A field that may be empty was mapped all the same: an empty one in every row is a mistake.
    optional = set(needs.may_be_empty) - source.columns.keys()
    required = [wanted[field] for field in fields if field not in optional]
    required += [column for column in (source.split_column, source.group_column) if column]
    turns = None if TURNS in fields else source.columns.get(TURNS)
    if turns in columns:
        columns = [*columns, TURNS]
    elif turns is not None:
        required = [turns]
    shape = _shape(columns, required, source, where)
    there = [*columns, *(shape.fields if shape else ())]
    missing = [column for column in required if column not in there]
    if missing:
        raise _missing(missing, there, wanted, source, where)
    return Layout(
        needs=needs,
        shape=shape,
        columns=wanted,
        numbered=numbered,
        values={
            field: {_setting(given, "values"): _setting(new, "values") for given, new in of.items()}
            for field, of in source.values.items()
        },
        constants={field: _setting(v, "constants") for field, v in source.constants.items()},
        split_column=source.split_column,
        splits=source.splits,
        group_column=source.group_column,
        turns_column=turns,
        answers=source.answers,
    )


def records_of(row: Mapping[str, Any], layout: Layout, split: str | None) -> list[Record]:
    """Make records of a row: one, or of a conversation as many as are to be learnt.

    None of a row whose ready-made split the recipe leaves out.

    Args:
        row: Column -> value.
        layout: Where its parts are.
        split: The ready-made split of its file; a split column takes precedence.

    Raises:
        BadRow: With the reason.
    """
    if layout.splits and layout.split_column and split_of(row, layout, split) is None:
        return []
    if layout.turns_column is not None:
        row = {**row, TURNS: cell(row, layout.turns_column)}
    read = [{}] if layout.shape is None else layout.shape.read(row)
    if layout.answers == "last":
        read = read[-1:]
    records = [_record({**row, **fields}, layout, split) for fields in read]
    group = _group(row, layout)
    if group is None and len(records) > 1:
        group = records[-1].id  # the last has all of the conversation
    return [replace(record, group_id=group) for record in records] if group else records


def _record(row: Mapping[str, Any], layout: Layout, split: str | None) -> Record:
    needs, target = layout.needs, layout.needs.target
    values: dict[str, str] = {}
    for field in needs.fields:
        value = _field(row, field, layout)
        if not value and field not in needs.may_be_empty:
            raise BadRow(f"{_named(field, layout)} is empty")
        values[field] = value
    references = _references(row, layout)
    for label in references if needs.choices else ():
        if label not in needs.choices:
            raise BadRow(f"{target} '{_shortened(label)}' is not one of {', '.join(needs.choices)}")
    values[target] = references[0]
    if layout.split_column is not None:
        split = split_of(row, layout, split)
        if split is None:
            name = split_name(row, layout)
            raise BadRow(f"{layout.split_column} '{_shortened(name)}' is not one of {NAMES}")
    return Record(_id(values, references), split, references, values)


def _group(row: Mapping[str, Any], layout: Layout) -> str | None:
    if layout.group_column is None:
        return None
    try:
        text = text_of(cell(row, layout.group_column))
    except BadRow as error:
        raise BadRow(f"{layout.group_column} {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else None


def split_of(row: Mapping[str, Any], layout: Layout, split: str | None) -> str | None:
    """The ready-made split of a row, be it a record or not; None where the source does not say.

    Args:
        row: Column -> value.
        layout: Where its parts are.
        split: The ready-made split of its file; a split column takes precedence.
    """
    if layout.split_column is None:
        return split
    return side_of(split_name(row, layout), layout.splits)


def split_name(row: Mapping[str, Any], layout: Layout) -> str:
    """What stands in a row's split column; "" where the source has none."""
    return "" if layout.split_column is None else str(cell(row, layout.split_column)).strip()


def text_of(value: Any) -> str | None:
    """Write a value as clean text; None for a missing one (null, or not a number).

    Raises:
        BadRow: A list, an object or bytes, a NUL character, or half a surrogate pair.
    """
    if isinstance(value, str):
        return _clean(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | decimal.Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    if isinstance(value, int | float | decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    kinds: dict[type, str] = {list: "a list", dict: "an object"}
    kind = kinds.get(type(value), type(value).__name__)
    raise BadRow(f"is {kind}, not text")


def _clean(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadRow("has half a surrogate pair") from None
    if "\0" in text:
        raise BadRow("has a NUL character")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip(_BLANK)


def _setting(text: str, key: str) -> str:
    """A text of the recipe, as clean as those of the rows."""
    try:
        return _clean(text)
    except BadRow as error:
        raise BadData(f"source.{key}", "text", f"{text!r}, which {error}") from None


def _field(row: Mapping[str, Any], field: str, layout: Layout) -> str:
    if field in layout.constants:
        return layout.constants[field]
    value = _mapped(cell(row, layout.columns[field]), field, layout)
    if value is None and field not in layout.needs.may_be_empty:
        raise BadRow(f"{_named(field, layout)} is missing")
    return value or ""


def _references(row: Mapping[str, Any], layout: Layout) -> tuple[str, ...]:
    """The target's value and the others that count as right, each once."""
    target = layout.needs.target
    if target in layout.constants:
        return (layout.constants[target],)
    given = cell(row, layout.columns[target])
    first = given if isinstance(given, list) else [given]
    # Of each row: in JSON, the first that has several may come late.
    columns = _reference_columns(layout.numbered, tuple(row)) if layout.numbered else ()
    others = [row[column] for column in columns]
    texts = [_mapped(value, target, layout) for value in (*first, *others)]
    if not first or texts[0] is None:
        raise BadRow(f"{_named(target, layout)} is missing")
    if not texts[0]:
        raise BadRow(f"{_named(target, layout)} is empty")
    return tuple(dict.fromkeys(text for text in texts if text))


def _mapped(value: Any, field: str, layout: Layout) -> str | None:
    try:
        text = text_of(value)
    except BadRow as error:
        raise BadRow(f"{_named(field, layout)} {error}") from None
    mapping = layout.values.get(field)
    return text if mapping is None or text is None else mapping.get(text, text)


def _named(field: str, layout: Layout) -> str:
    column = layout.columns.get(field, field)
    return field if column == field else f"{field} (column {column})"


def _shortened(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:37]}..."


def _id(values: Mapping[str, str], references: Sequence[str]) -> str:
    # No value holds a NUL, so that different records cannot be joined to the same text.
    parts = [part for field in sorted(values) for part in (field, values[field])]
    content = "\0".join([*parts, *references[1:]])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _shape(
    columns: Sequence[str], required: Sequence[str], source: Source, where: str
) -> Shape | None:
    if source.shape == "columns":
        return None
    if source.shape == "auto":
        missing = [column for column in required if column not in columns]
        if not missing:
            return PAIRS if set(PAIRS.fields) <= set(required) else None
        return recognise(columns, missing)
    shape = SHAPES[source.shape]
    if not shape.fits(columns):
        needed = " and ".join(" or ".join(group) for group in shape.columns)
        found = f"the columns {', '.join(columns)}"
        mend = "set source.shape to what the rows are, or leave it out"
        raise BadData(where, f"the columns of the shape {shape.name}: {needed}", found, mend)
    return shape


@lru_cache(maxsize=1024)
def _reference_columns(name: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    """`summary2`, `summary3`, ... for the name `summary`, in this order."""
    numbered = re.compile(rf"{re.escape(name)}([2-9]|[1-9]\d+)")
    matches = [match for column in columns if (match := numbered.fullmatch(column))]
    return tuple(match[0] for match in sorted(matches, key=lambda match: int(match[1])))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _missing(
    missing: Sequence[str],
    there: Sequence[str],
    wanted: Mapping[str, str],
    source: Source,
    where: str,
) -> BadData:
    """The message names what is there, and how to map the closest of it."""
    column = missing[0]
    field = next((name for name, wanted_column in wanted.items() if wanted_column == column), "")
    same = [name for name in there if _composed(name) == _composed(column)]
    close = same or difflib.get_close_matches(column, there, n=1)
    mend = f"map it: source.columns: {{{field}: {close[0] if close else 'COLUMN'}}}"
    shape = recognise(there, ())
    if not field:
        places = {
            source.split_column: "split_column",
            source.group_column: "group_column",
            source.columns.get(TURNS): f"columns: {TURNS}",
        }
        key = places[column]
        mend = f"set source.{key} to a column that is there"
    elif not source.header:
        mend = 'number the columns from 0: source.columns: {FIELD: "0"}'
    elif shape is not None and not close:
        mend = f"the rows have the shape {shape.name}, which gives {' and '.join(shape.fields)}: "
        mend += "map these in source.columns, or choose prompts that have them"
    elif same:
        mend += ", copied from the file: letters with accents are written in two ways (NFC, NFD)"
    elif len(there) == 1 and "\t" in there[0]:
        mend = "set source.format: tsv, if tabs separate the cells"
    elif len(there) == 1 and re.search("[;|]", there[0]):
        mend = "save the file with commas between its cells, or with the first line `sep=|`"
    elif column.isdigit():
        mend = "name the column, or set `source.header: false` if the first line is no header"
    elif not close and re.search(r"\.(csv|tsv|tab)(\.\w+)?$", where, re.IGNORECASE):
        mend += ", or set source.header: false if the first line is no header"
    needed = " and ".join(f"'{name}'" for name in missing)
    plural = "s" if len(missing) > 1 else ""
    others = f" and {len(there) - _SHOWN_NAMES} others" if len(there) > _SHOWN_NAMES else ""
    found = f"only {', '.join(there[:_SHOWN_NAMES])}{others}"
    return BadData(where, f"the column{plural} {needed}", found, mend)
