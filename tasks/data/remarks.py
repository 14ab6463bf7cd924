"""What is odd about the records of a task, counted as they come, in words for log and report.

remarks = Remarks(source, needs)
remarks.look_at(record)
remarks.in_words()  ->  ["2 records look like UTF-8 that ... ('CafÃ©' in record 5a0e...)"]
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass

from tasks.config import Source
from tasks.data.contradictions import Contradictions
from tasks.data.mojibake import garbled, lossy
from tasks.data.records import Needs, Record
from tasks.data.splitting import JUDGING


@dataclass
class Damaged:
    """Records of which a text is damaged.

    Attributes:
        find: Some of a text that is damaged; None of one that is not.
        count: How many records.
        first: Some of the first one's text, and its id.
    """

    find: Callable[[str], str | None]
    count: int = 0
    first: str = ""

    def look_at(self, record: Record) -> None:
        """Count a record, if it is one."""
        found = next(filter(None, map(self.find, record.values.values())), None)
        if found is not None:
            self.count += 1
            self.first = self.first or f"'{found}' in record {record.id}"


class Remarks:
    """What is odd about the records of one task."""

    def __init__(self, source: Source, needs: Needs) -> None:
        """Begin.

        Args:
            source: Where the records come from.
            needs: What the task needs of each.
        """
        self.source = source
        self.num_several = 0
        self.garbled, self.lossy = Damaged(garbled), Damaged(lossy)
        self.contradictions = Contradictions(needs)

    def look_at(self, record: Record) -> None:
        """Count what is odd about a record."""
        self.num_several += len(record.references) > 1 and record.split not in JUDGING
        self.garbled.look_at(record)
        self.lossy.look_at(record)
        self.contradictions.look_at(record)

    def in_words(self) -> list[str]:
        """A sentence for each thing that is odd."""
        told = []
        if splits := self.source.splits:
            used = " and ".join(f"{split} as {side}" for split, side in splits.items())
            told.append(f"of its ready-made splits, {used}; others are left out (source.splits)")
        if self.num_several:
            told.append(
                f"{self.num_several:,} records to train on have several answers, of which the "
                "first is learnt and each counts as right; where only all of them together are "
                "the answer, join them to one text"
            )
        if self.garbled.count:
            told.append(
                f"{self.garbled.count:,} records look like UTF-8 that was read as another encoding "
                f"({self.garbled.first}): {self._mend()}"
            )
        if self.lossy.count:
            told.append(
                f"{self.lossy.count:,} records have the character U+FFFD, which stands for bytes "
                f"that were lost when a text was decoded ({self.lossy.first}): the model learns to "
                "read and write it; make the source anew from what it was made of"
            )
        return told + self.contradictions.in_words()

    def _mend(self) -> str:
        mend = "mend the source, with the package ftfy for example"
        if codecs.lookup(self.source.encoding).name == "utf-8":
            return mend
        return f"set source.encoding to utf-8, or {mend} if it is in there"
