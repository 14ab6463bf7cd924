"""The same text with different answers: wrong labels, or right answers in rows of their own.

"The zip broke." -> negative    record 5a0e...
"the  zip broke." -> positive   record 77c1...      both are told
"""

from array import array

import numpy as np

from tasks.data.records import Needs, Record

_SHOWN_CHARACTERS = 40


class Contradictions:
    """Compares the records of one task; holds 24 bytes of each.

    Texts with labels are the same in any case and spacing, others to the letter: in code, these may
    make the answer another one.
    """

    def __init__(self, needs: Needs) -> None:
        """Begin.

        Args:
            needs: Which of a record's values are its text, which is the answer, and its choices.
        """
        self.needs = needs
        self._texts, self._answers, self._ids = array("q"), array("q"), array("Q")
        self._answer = ""

    def look_at(self, record: Record) -> None:
        """Note a record."""
        texts = [record.values[name] for name in self.needs.fields]
        if self.needs.choices:
            texts = [" ".join(text.casefold().split()) for text in texts]
        self._answer = record.values[self.needs.target]
        self._texts.append(hash(tuple(texts)))
        self._answers.append(hash(self._answer))
        self._ids.append(int(record.id, 16))

    def in_words(self) -> list[str]:
        """A sentence for what is odd, if anything is."""
        texts, answers = np.array(self._texts), np.array(self._answers)
        kind = "label" if self.needs.choices else "answer"
        if len(answers) > 1 and (answers == answers[0]).all():
            shown = self._answer[:_SHOWN_CHARACTERS]
            return [
                f"all records have the same {kind}, '{shown}': whoever always says so is right, "
                "and nothing else is learnt"
            ]
        _, first, number = np.unique(texts, return_index=True, return_inverse=True)
        differs = answers != answers[first[number]]
        if not differs.any():
            return []
        count = len(np.unique(np.array(self._ids)[np.isin(number, number[differs])]))
        row = differs.argmax()
        ids = " and ".join(f"{self._ids[row]:016x}" for row in (first[number[row]], row))
        mend = (
            "one of these labels is wrong; correct them, or leave such records out"
            if self.needs.choices
            else "each is learnt, and a row is scored by its own alone; correct what is wrong, and "
            "where several are right, give one record all of them, as a list"
        )
        return [
            f"{count:,} records have a text that others have with another {kind} ({ids}): {mend}"
        ]
