"""Completions written to disk as they are generated, so that a killed run resumes where it was.

`base-5f0c9a2b17d3e8a4.0.jsonl`, written by rank 0, a batch at a time:

    {"index": 17, "text": "They meet at one.", "num_prompt_tokens": 41, "num_tokens": 6,
     "truncated_prompt": false, "hit_length_limit": false}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.scoring.generate import Completion
from tasks.stage import digest_of_json


@dataclass(frozen=True)
class Kept:
    """The completions of one way to one list of prompts.

    Attributes:
        folder: Where they lie.
        name: Of their files; it says what they were made from.
        rank: Of this process: it writes a file of its own and reads those of all.
    """

    folder: Path
    name: str
    rank: int

    @classmethod
    def of(cls, folder: Path, way: str, made_from: Any, rank: int) -> "Kept":
        """The completions made from something: model, prompts, settings, as a JSON value."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, f"{way}-{digest_of_json(made_from)[:16]}", rank)

    def read(self) -> dict[int, Completion]:
        """Position of a prompt -> its completion; a line that a crash tore does not count."""
        known = {}
        for path in self.folder.glob(f"{self.name}.*.jsonl"):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    fields = json.loads(line)
                except json.JSONDecodeError:
                    continue
                index = fields.pop("index")
                known[index] = Completion(**fields)
        return known

    def add(self, batch: Mapping[int, Completion]) -> None:
        """Append a batch."""
        lines = [json.dumps({"index": index, **asdict(done)}) for index, done in batch.items()]
        with (self.folder / f"{self.name}.{self.rank}.jsonl").open("a", encoding="utf-8") as file:
            # The line break before them ends a line that a crash may have torn.
            file.write("".join(f"\n{line}" for line in lines))

    def in_order(self, num_prompts: int) -> Sequence[Completion]:
        """Every completion, when all are there."""
        known = self.read()
        return [known[index] for index in range(num_prompts)]
