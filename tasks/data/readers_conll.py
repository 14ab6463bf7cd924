"""Read CoNLL columns: one token per line, its tag last, an empty line between sentences.

    Empire  B-location
    State   I-location        ->  {"sentence": "Empire State shines",
    shines  O                      "entities": "location: Empire State"}

The entities stand in order of appearance, "none" where there are none. Understood are IOB1, BIO
(IOB2) and BIOES/BILOU tags (Ramshaw and Marcus 1995, arXiv cmp-lg/9505040; CoNLL-2003).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.data.readers_rows import Row, Rows, Unreadable
from tasks.data.readers_text import open_text

_TYPES = {"per": "person", "loc": "location", "org": "organisation", "misc": "other"}
_BEGINS, _GOES_ON = "BSU", "IEL"

Line = tuple[int, str]


def read_conll(path: Path, encoding: str) -> Rows:
    """Read sentences; the place of a sentence is its first line, of an unreadable one the bad line.

    Raises:
        BadData: The file cannot be read as text.
    """
    with open_text(path, encoding, newline="\n") as text:
        for sentence in _sentences(text):
            yield _row(sentence)


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


def _row(sentence: list[Line]) -> Row:
    tokens: list[tuple[str, str]] = []
    for number, line in sentence:
        columns = line.split("\t") if "\t" in line else line.split()
        token, tag = columns[0].strip(), columns[-1].strip()
        whole = "\n".join(line for _, line in sentence)
        if len(columns) < 2 or not token:
            return number, Unreadable("not a token and a tag", whole)
        if not _is_tag(tag):
            return number, Unreadable(f"the tag '{tag}' is neither O nor like B-PER", whole)
        tokens.append((token, tag))
    text = " ".join(token for token, _ in tokens)
    return sentence[0][0], {"sentence": text, "entities": entities_of(tokens)}


def _is_tag(tag: str) -> bool:
    prefix, _, kind = tag.partition("-")
    return tag == "O" or (len(prefix) == 1 and prefix in _BEGINS + _GOES_ON and bool(kind))


def _type_name(kind: str) -> str:
    return _TYPES.get(kind.lower(), kind.lower())
