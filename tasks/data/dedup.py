"""Near-duplicates: which records say almost the same, by MinHash over word 3-grams.

["hello there my friend", "hello there my friend !", "goodbye"]  ->  [0, 0, 2]
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

NUM_PERMUTATIONS = 64
SHINGLE_WORDS = 3

_WORD = re.compile(r"\w+")


def near_duplicate_clusters(texts: Sequence[str], threshold: float) -> list[int]:
    """Groups of texts that are alike, directly or through a chain of others.

    Args:
        texts: The texts.
        threshold: Least Jaccard similarity of the sets of word 3-grams, in (0, 1]; estimated
            with 64 permutations, so its standard error is about 0.06 (Broder 1997, "On the
            resemblance and containment of documents").

    Returns:
        One cluster number per text: the smallest position among the texts of its cluster.
    """
    from datasketch import MinHash, MinHashLSH  # brings in scipy, which a plan need not wait for

    parents = list(range(len(texts)))
    index = MinHashLSH(threshold=threshold, num_perm=NUM_PERMUTATIONS)
    hashes = MinHash.generator(
        (shingles(text) for text in texts), num_perm=NUM_PERMUTATIONS, seed=1
    )
    kept: dict[int, Any] = {}
    for position, minhash in enumerate(hashes):
        for other in index.query(minhash):
            if kept[other].jaccard(minhash) >= threshold:
                _join(parents, position, other)
        index.insert(position, minhash, check_duplication=False)
        kept[position] = minhash
    return [_root(parents, position) for position in range(len(texts))]


def shingles(text: str) -> Iterable[bytes]:
    """The set of a text's word 3-grams, lower-cased; a shorter text is its own only one."""
    words = _WORD.findall(text.lower())
    grams = zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False)
    return {" ".join(gram).encode() for gram in grams} or {" ".join(words).encode()}


def _root(parents: list[int], position: int) -> int:
    while parents[position] != position:
        parents[position] = parents[parents[position]]
        position = parents[position]
    return position


def _join(parents: list[int], one: int, other: int) -> None:
    roots = _root(parents, one), _root(parents, other)
    parents[max(roots)] = min(roots)
