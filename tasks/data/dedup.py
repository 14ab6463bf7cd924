"""Near-duplicates: which records say almost the same, by MinHash over word 3-grams.

["hello there my friend", "hello there my friend !", "goodbye"]  ->  [0, 0, 2]

What most texts have, such as an instruction that stands in each of them, makes none of them alike.
Signatures and the choice of bands are datasketch's. Its index is a dict a band, with Python objects
for every text; here the bands are sorted arrays instead.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

NUM_PERMUTATIONS = 64
SHINGLE_WORDS = 3
MOST_BANDED = 0.95
CHUNK_ROWS = 10_000
SAMPLE, FEWEST = 1000, 10
"""What more than half of the first 1,000 texts have, and more than 10, is common to them."""
SAMPLE_CHARACTERS = 4_000_000
"""Of long documents, so many characters are looked at: their shingles are held in memory."""
MAX_NEIGHBOURS = 32
"""A text is compared with at most this many of those that share a band with it; in a larger band, a
pair that no text in between links may be missed."""

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer
    r"\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Kana
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Scripts without spaces between words: each character counts as a word."""

_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")

Signatures = npt.NDArray[np.uint32]
"""Shape (texts, permutations)."""


def near_duplicate_clusters(texts: Iterable[str], threshold: float) -> list[int]:
    """Groups of texts that are alike, directly or through a chain of others.

    Args:
        texts: The texts; read once, one after the other.
        threshold: Least Jaccard similarity of the sets of word 3-grams, in (0, 1]; estimated
            with 64 permutations, so its standard error is about 0.06 (Broder 1997, "On the
            resemblance and containment of documents").

    Returns:
        One cluster number per text: the smallest position among the texts of its cluster.
    """
    common, texts = _common(texts)
    signatures = _signatures(texts, common)
    pairs = np.concatenate(
        [
            found
            for band in _bands(signatures, threshold)
            for found in _alike(signatures, band, threshold)
        ]
        or [np.empty((0, 2), np.int64)]
    )
    return connected(pairs, len(signatures))


def connected(pairs: npt.NDArray[np.int64], size: int) -> list[int]:
    """The groups that linked things make.

    Args:
        pairs: What is linked, shape (links, 2).
        size: How many things there are.

    Returns:
        One number per thing: the smallest position in its group.
    """
    # They bring in much, which a plan need not wait for.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    clusters: list[int] = first[labels].tolist()
    return clusters


def nearest(
    texts: Iterable[str], known: Iterable[str], threshold: float
) -> list[tuple[int, float] | None]:
    """For each text, the known one that is most like it.

    Args:
        texts: The texts.
        known: What they are looked up in; read once, one after the other.
        threshold: As for `near_duplicate_clusters`.

    Returns:
        Position among the known texts and estimated similarity; None where none is alike.
    """
    common, known = _common(known)
    own = _signatures(texts, common)
    signatures = np.concatenate([own, _signatures(known, common)])
    found: list[tuple[int, float] | None] = [None] * len(own)
    for band in _bands(signatures, threshold):
        for pairs in _alike(signatures, band, threshold):
            for one, other in np.sort(pairs, axis=1).tolist():
                if one < len(own) <= other:
                    similarity = float((signatures[one] == signatures[other]).mean())
                    best = found[one]
                    if best is None or similarity > best[1]:
                        found[one] = (other - len(own), similarity)
    return found


def shingles(text: str) -> set[bytes]:
    """The set of a text's word 3-grams, lower-cased; a shorter text is its own only one.

    So is one without words, as emoji are.
    """
    words = _WORD.findall(text.lower())
    grams = zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False)
    return {" ".join(gram).encode() for gram in grams} or {(" ".join(words) or text).encode()}


def _common(texts: Iterable[str]) -> tuple[set[bytes], Iterator[str]]:
    """The shingles that most of the first texts have; and all texts, these included."""
    rest, first, characters = iter(texts), [], 0
    for text in islice(rest, SAMPLE):
        first.append(text)
        characters += len(text)
        if characters > SAMPLE_CHARACTERS:
            break
    counts = Counter(shingle for text in first for shingle in shingles(text))
    most = max(FEWEST, len(first) / 2)
    return {shingle for shingle, times in counts.items() if times > most}, chain(first, rest)


def _signatures(texts: Iterable[str], common: set[bytes]) -> Signatures:
    """Signatures of what the texts have besides the common; of a text of nothing else, of all."""
    from datasketch import MinHash

    found = (shingles(text) for text in texts)
    hashed = MinHash.generator(
        (own - common or own for own in found),
        num_perm=NUM_PERMUTATIONS,
        seed=1,
        hashfunc=zlib.crc32,
    )
    rows = (minhash.hashvalues.astype(np.uint32) for minhash in hashed)
    chunks = [np.empty((0, NUM_PERMUTATIONS), np.uint32)]
    while chunk := list(islice(rows, CHUNK_ROWS)):
        chunks.append(np.stack(chunk))
    return np.concatenate(chunks)


def _bands(signatures: Signatures, threshold: float) -> Iterator[Signatures]:
    """Some columns at a time, such that texts that are similar enough agree in one of them."""
    from datasketch import MinHashLSH

    # Beyond, it would be one band alone, which the library refuses.
    index = MinHashLSH(threshold=min(threshold, MOST_BANDED), num_perm=NUM_PERMUTATIONS)
    for start in range(0, index.b * index.r, index.r):
        yield signatures[:, start : start + index.r]


def _alike(
    signatures: Signatures, band: Signatures, threshold: float
) -> Iterator[npt.NDArray[np.int64]]:
    """Pairs of texts that agree in a band and are similar enough, shape (pairs, 2)."""
    keys = _mixed(band)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for distance in range(1, MAX_NEIGHBOURS + 1):
        starts = np.flatnonzero(ordered[:-distance] == ordered[distance:])
        if len(starts) == 0:
            return
        pairs = np.stack([order[starts], order[starts + distance]], axis=1)
        similarity = (signatures[pairs[:, 0]] == signatures[pairs[:, 1]]).mean(axis=1)
        yield pairs[similarity >= threshold]


def _mixed(band: Signatures) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row: FNV-1a, a value at a time."""
    mixed = np.full(len(band), 0xCBF29CE484222325, np.uint64)
    for column in band.T:
        mixed = (mixed ^ column) * np.uint64(0x100000001B3)
    return mixed
