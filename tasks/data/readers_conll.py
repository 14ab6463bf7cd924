"""Read CoNLL columns: a token and its tag per line, an empty line between sentences.

    Empire  B-location
    State   I-location        ->  {"sentence": "Empire State shines",
    shines  O                      "entities": "location: Empire State"}

The entities stand in order of appearance, "none" where there are none. Understood are IOB1, BIO
(IOB2) and BIOES/BILOU tags (Ramshaw and Marcus 1995, arXiv cmp-lg/9505040; CoNLL-2003). Tags that
break these rules are read as CoNLL's own scorer, conlleval, reads them: an entity starts wherever
the tag before does not lead into it, with `I-PER` after `O` or after `B-LOC`, for example.
`-DOCSTART-` lines are not part of a sentence, nor are the `# id 7` lines that some files have at
its head.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.data.readers_rows import Row, Rows, Unreadable
from tasks.data.readers_text import open_text

_TYPES = {"per": "person", "loc": "location", "org": "organisation", "misc": "other"}
_GOES_ON, _ENDS = "IEL", "ESLU"
_PREFIXES = "BIESLU"

Line = tuple[int, str]


def read_conll(path: Path, encoding: str, token_column: int, tag_column: int) -> Rows:
    """Read sentences; the place of a sentence is its first line, of an unreadable one the bad line.

    Args:
        path: The file; its columns are separated by tabs, where a line has one, or else by blanks.
        encoding: Character encoding.
        token_column: Number of the column with the token, from 0.
        tag_column: Number of the column with the tag; -1 is the last.

    Raises:
        BadData: The file cannot be read as text.
    """
    with open_text(path, encoding, newline="\n") as text:
        for sentence in _sentences(text):
            if lines := _without_comments(sentence, tag_column):
                yield _row(lines, token_column, tag_column)


def entities_of(tokens: Iterable[tuple[str, str]]) -> str:
    """The canonical list of the entities in a tagged sentence.

    Args:
        tokens: (token, tag) in order; every tag is `O` or a prefix, a hyphen and a type.

    Returns:
        "person: Anna Lee; location: Oslo", or "none".
    """
    entities: list[tuple[str, list[str]]] = []
    open_type = ""
    for token, tag in tokens:
        prefix, _, kind = tag.partition("-")
        if prefix == "O":
            open_type = ""
        elif prefix in _GOES_ON and kind == open_type:
            entities[-1][1].append(token)
        else:
            entities.append((kind, [token]))
            open_type = kind
        if prefix in _ENDS:
            open_type = ""
    named = (f"{_type_name(kind)}: {' '.join(words)}" for kind, words in entities)
    return "; ".join(named) or "none"


def _sentences(text: Iterable[str]) -> Iterator[list[Line]]:
    sentence: list[Line] = []
    for number, line in enumerate(text, 1):
        if line.strip() and not line.startswith("-DOCSTART-"):
            sentence.append((number, line.rstrip("\r\n")))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _without_comments(sentence: list[Line], tag_column: int) -> list[Line]:
    """Without the lines at the head that start with `#`, unless these are a token with its tag."""
    for position, (_, line) in enumerate(sentence):
        columns = _columns(line)
        is_token = len(columns) > 1 and _is_tag(_at(columns, tag_column))
        if not line.startswith("#") or is_token:
            return sentence[position:]
    return []


def _row(sentence: list[Line], token_column: int, tag_column: int) -> Row:
    tokens: list[tuple[str, str]] = []
    whole = "\n".join(line for _, line in sentence)
    for number, line in sentence:
        columns = _columns(line)
        token, tag = _at(columns, token_column), _at(columns, tag_column)
        if len(columns) < 2 or not token or not tag:
            return number, Unreadable("not a token and a tag", whole)
        if not _is_tag(tag):
            return number, Unreadable(f"the tag '{tag}' is neither O nor like B-PER", whole)
        tokens.append((token, tag))
    text = " ".join(token for token, _ in tokens)
    return sentence[0][0], {"sentence": text, "entities": entities_of(tokens)}


def _columns(line: str) -> list[str]:
    # Not at every white space: a no-break space may be part of a token.
    if "\t" in line:
        return [column.strip() for column in line.split("\t")]
    return [column for column in line.split(" ") if column]


def _at(columns: list[str], number: int) -> str:
    return columns[number] if -len(columns) <= number < len(columns) else ""


def _is_tag(tag: str) -> bool:
    prefix, _, kind = tag.partition("-")
    return tag == "O" or (len(prefix) == 1 and prefix in _PREFIXES and bool(kind))


def _type_name(kind: str) -> str:
    return _TYPES.get(kind.lower(), kind.lower())
