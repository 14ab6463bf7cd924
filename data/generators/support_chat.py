r"""Generate the demo corpus of support chats with summaries from hand-written fragments.

A chat is a chain of beats (opening, request, identification, detail, outcome, closing). Every beat
is drawn from the alternatives in `fragments/support_chat/*.yaml`, and the facts are filled in last,
so that dialogue and summary share them. One record of the output:

    {"id": "support-0001", "business": "hotel desk",
     "dialogue": "Agent Maya: Front desk, good morning.\nTom: Can I keep room 212 until 2 pm? ...",
     "summary": "Tom wants to keep room 212 until 2 pm. Maya allows it for 15 pounds.",
     "split": "train"}

Rows of the split "test" also have "summary2", the same facts in other words.

Run from the repository root: `python -m data.generators.support_chat`.
"""

import argparse
import json
from pathlib import Path
from random import Random

from data.generators.support_chat_dialogue import Chat, compose_dialogue
from data.generators.support_chat_fragments import Book, Case, load_book
from data.generators.support_chat_summary import compose_summary

OUT = Path(__file__).parents[1] / "support_chat.jsonl"
NUM_ROWS = 1400
SEED = 20240607
MIN_TURNS, MAX_TURNS = 6, 16
MIN_DIALOGUE_WORDS, MAX_DIALOGUE_WORDS = 60, 170
MIN_SUMMARY_WORDS, MAX_SUMMARY_WORDS = 15, 45


def _num_words(text: str) -> int:
    return len(text.split())


def _draw_chat(book: Book, case: Case, rng: Random, seen: set[str]) -> Chat:
    """Draw until the chat keeps the length limits and no earlier chat had its skeleton."""
    while True:
        chat = compose_dialogue(book, case, rng)
        if (
            MIN_TURNS <= len(chat.turns) <= MAX_TURNS
            and MIN_DIALOGUE_WORDS <= _num_words(chat.dialogue) <= MAX_DIALOGUE_WORDS
            and chat.skeleton not in seen
        ):
            seen.add(chat.skeleton)
            return chat


def _draw_summary(book: Book, case: Case, chat: Chat, rng: Random, avoid: str) -> str | None:
    """Draw a summary unlike `avoid` that states only what the chat states; None where too rare."""
    for _ in range(200):
        text = compose_summary(book, case, chat, rng, avoid)
        if text and MIN_SUMMARY_WORDS <= _num_words(text) <= MAX_SUMMARY_WORDS:
            return text
    return None


def _draw_row(book: Book, case: Case, rng: Random, seen: set[str], split: str) -> dict[str, str]:
    """Draw one row, without its id; chats whose summaries cannot be told are drawn again."""
    while True:
        chat = _draw_chat(book, case, rng, seen)
        summary = _draw_summary(book, case, chat, rng, avoid="")
        if summary is None:
            continue
        row = {"business": case.business, "dialogue": chat.dialogue, "summary": summary}
        row["split"] = split
        if split == "test":
            second = _draw_summary(book, case, chat, rng, avoid=summary)
            if second is None:
                continue
            row["summary2"] = second
        return row


def _cases(book: Book, num_rows: int, rng: Random) -> list[Case]:
    """Every (scenario, outcome) equally often, give or take one, in a drawn order."""
    drawn: list[Case] = []
    while len(drawn) < num_rows:
        drawn += rng.sample(book.cases, len(book.cases))
    return drawn[:num_rows]


def generate_rows(num_rows: int = NUM_ROWS, seed: int = SEED) -> list[dict[str, str]]:
    """Generate the corpus.

    Args:
        num_rows: Rows in all; one in seven is a test row, and those come last.
        seed: Seed of the only source of chance.

    Returns:
        Rows with `id`, `business`, `dialogue`, `summary`, `split`, and `summary2` in test rows.
    """
    book, rng, seen = load_book(), Random(seed), set[str]()
    num_test = num_rows // 7
    splits = ["train"] * (num_rows - num_test) + ["test"] * num_test
    cases = _cases(book, num_rows - num_test, rng) + _cases(book, num_test, rng)
    return [
        {"id": f"support-{number:04d}", **_draw_row(book, case, rng, seen, split)}
        for number, (case, split) in enumerate(zip(cases, splits, strict=True), start=1)
    ]


def write_corpus(out: Path, num_rows: int = NUM_ROWS, seed: int = SEED) -> None:
    """Write the corpus as JSON lines, the same bytes on every machine.

    Args:
        out: File to write.
        num_rows: Rows in all.
        seed: Seed of the only source of chance.
    """
    lines = [json.dumps(row) + "\n" for row in generate_rows(num_rows, seed)]
    out.write_bytes("".join(lines).encode("ascii"))


def main() -> None:
    """Read the command line and write the corpus."""
    parser = argparse.ArgumentParser(description="Generate the demo corpus of support chats.")
    parser.add_argument("--out", type=Path, default=OUT, help="file to write")
    parser.add_argument("--rows", type=int, default=NUM_ROWS, help="number of rows")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the random generator")
    options = parser.parse_args()
    write_corpus(options.out, options.rows, options.seed)


if __name__ == "__main__":
    main()
