"""Special tokens that stand in the data as text: a tokenizer reads `</s>` as the end of the text.

    12 of 800 examples have text that the tokenizer reads as special tokens (`</s>` in 10, `<pad>`
    in 2), such as the record 9f31...

What the chat template adds is not looked at, nor are the marks of turns; and the sentinels of
`tasks.prompts.denoising` stand in prompt and completion alike.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tasks.data.turns import MARK

SENTINEL = re.compile(r"<extra_id_\d+>")
_SHOWN = 5


class SpecialTokens:
    """Counts the examples with such text.

    Attributes:
        num_examples: How many there are.
        tokens: Special token -> how many have it.
        first: Record id of the first; "" where there is none.
    """

    def __init__(self, tokenizer: Any) -> None:
        added = tokenizer.added_tokens_decoder.values()
        texts = sorted((token.content for token in added if token.special), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, texts)) or "(?!)")
        self.num_examples = 0
        self.tokens: Counter[str] = Counter()
        self.first = ""

    def look_at(self, columns: Mapping[str, list[str]]) -> None:
        """Look at some examples: their columns id, prompt and completion."""
        rows = zip(columns["id"], columns["prompt"], columns["completion"], strict=True)
        for record, prompt, completion in rows:
            if self._pattern.search(prompt) or self._pattern.search(completion):
                found = self._found(prompt, completion)
                self.num_examples += bool(found)
                self.tokens.update(found)
                self.first = self.first or (record if found else "")

    def in_words(self, num_examples: int) -> str:
        """What was found among so many examples; "" where nothing was."""
        if not self.num_examples:
            return ""
        most = ", ".join(f"`{token}` in {n:,}" for token, n in self.tokens.most_common(_SHOWN))
        return (
            f"{self.num_examples:,} of {num_examples:,} examples have text that the tokenizer "
            f"reads as special tokens ({most}), such as the record {self.first}: where it is meant "
            "as text, write it otherwise in the data"
        )

    def _found(self, prompt: str, completion: str) -> set[str]:
        asked = self._pattern.findall(MARK.sub("", prompt))
        answered = self._pattern.findall(completion)
        gaps, filled = (list(filter(SENTINEL.fullmatch, found)) for found in (asked, answered))
        found = {*asked, *answered}
        return found - set(gaps) if gaps == filled else found
