"""Splitting: which side a record is on, by a hash of its content, so that it stays there.

    place("9f31...", seed=7, validation=0.1, test=0.1)  ->  "train"

A record's side depends on its own hash and on those of its near-duplicates, never on how many
others there are. Of records without near-duplicates, the shares are those of the recipe in
expectation, in every task and label alike, since the hash is uniform; the actual shares are
reported.
"""

import hashlib
from collections.abc import Mapping, Sequence

SIDES = ("train", "validation", "test")
"""The sides of a split, the later ones taking precedence within a cluster of near-duplicates."""

JUDGING = SIDES[1:]
"""Those that the model is judged by."""


def place(record_id: str, seed: int, validation: float, test: float) -> str:
    """The side of one record.

    Args:
        record_id: Digest of the record's content.
        seed: Another seed is another split.
        validation: Share of the validation side, in [0, 1).
        test: Share of the test side, in [0, 1).
    """
    hashed = hashlib.sha256(f"{seed}:{record_id}".encode()).digest()
    position = int.from_bytes(hashed[:8]) / 2**64
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"


def place_clusters(sides: Sequence[str], clusters: Sequence[int]) -> list[str]:
    """Bring the records of each cluster to one side.

    That is the side of highest precedence among them: test, then validation, then train. So a
    new record can draw old ones out of train, but never into it.

    Args:
        sides: Side of each record by its own hash.
        clusters: Cluster number of each record.

    Returns:
        Side of each record.
    """
    highest: dict[int, int] = {}
    for side, cluster in zip(sides, clusters, strict=True):
        highest[cluster] = max(highest.get(cluster, 0), SIDES.index(side))
    return [SIDES[highest[cluster]] for cluster in clusters]


def shares(labels: Sequence[str | None], sides: Sequence[str]) -> Mapping[str, dict[str, int]]:
    """Label -> side -> number of records; records without a label count under the label `""`."""
    counts: dict[str, dict[str, int]] = {}
    for label, side in zip(labels, sides, strict=True):
        by_side = counts.setdefault(label or "", dict.fromkeys(SIDES, 0))
        by_side[side] += 1
    return counts
