"""What every corpus generator shares: names, the held-out rule, JSON Lines and the command line.

A generator yields one flat record of strings per row, for example

    {"id": "dates-000000", "question": "What day comes two days after Monday?",
     "answer": "Wednesday"}

and runs as `python -m data.generators.<name> --rows 400 --seed 0 --out FILE [--heldout]`.
"""

import argparse
import json
import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Row = dict[str, str]
Generate = Callable[[int, int, bool], Iterator[Row]]

HELDOUT_EVERY = 5
MAX_REDRAWS = 50


def words(text: str) -> tuple[str, ...]:
    """Splits a fragment list written as running text."""
    return tuple(text.split())


def phrases(text: str) -> tuple[str, ...]:
    """Splits a fragment list of several words each, written one to a line or with semicolons."""
    return tuple(part.strip() for part in text.replace("\n", ";").split(";") if part.strip())


FIRST_NAMES = words(
    """Anna Ben Chloe David Elena Felix Grace Hassan Ines Jack Kofi Lena Marco Nadia Oscar Priya
    Quentin Rosa Samir Tara Umar Vera Wei Ximena Yusuf Zoe Aisha Boris Carmen Diego Emma Farid
    Greta Hugo Irina Jonas Keiko Liam Mei Noah Olga Pablo Ravi Sofia Tom Uma Victor Wanda Yara
    Zainab Adam Bella Carlos Daria Emil Fatima George Hana Ivan Julia Karim Laura Miguel Nora Omar
    Paula Rana Simon Theo Ursula Vikram Willa Yuki Zara Alice Bruno Clara Daniel Esther Finn Gita
    Henrik Isla Jamal Kira Leo Mina Nils Olivia Peter Rita Sven Tina Viola Walter Yasmin Amir
    Bianca Cedric Dora Erik Frida Gustav Helen Igor Jana Kwame Lucia Martin Nina Otto Petra Robert
    Sana Tariq Vivian Wendy Abel Beatrice Chen Dalia Edgar Fiona Gabriel Heidi Idris Joy Kenji
    Lily Mohammed Naomi Oliver Pia Rafael Selma Thandi Viktor Amara Bilal Celine Dmitri Eva Fumiko
    Gloria Harun Iris Jorge Katya Lars Maria Nikhil Odette Philip Ruth Stefan Tomas Valeria Akira
    Brigitte Conrad Divya Enzo Flora Goran Hilda Imani Jasper Khalid Linda Malik Nuria Osman
    Pearl Rohan Stella Tobias Vincent Alma Anton Bao Cora Dylan Elif Freya Gavin Huda Ibrahim
    Joanna Kamal Luca Marta Noor Ola Ramon Sara Timo Vanessa"""
)

CITIES = (
    *words("""Oslo Paris Lima Cairo Dublin Tokyo Berlin Madrid Nairobi Sydney Boston Vienna Prague
    Lagos Delhi Seoul Athens Rome Lisbon Toronto Chicago Havana Warsaw Helsinki Accra Geneva
    Hamburg Kyoto Manila Tunis Zurich Bergen Leeds Naples Porto Quito Riga Seville Tampa Utrecht
    Venice York Austin Denver Glasgow Mumbai Dakar Bogota Milan Florence Cardiff Hanoi Jakarta
    Kampala Malmo Nice Odessa Perth Rabat Split Turin Izmir Bristol Dallas"""),
    *("New York", "Cape Town", "Hong Kong", "San Diego", "Buenos Aires", "Mexico City"),
    *("Abu Dhabi", "Los Angeles", "Kuala Lumpur", "Saint Louis", "Rio Verde", "Port Louis"),
)

WEEKDAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")

MONTHS = words(
    """January February March April May June July August September October November
    December"""
)


def pick(rng: random.Random, items: Sequence[Item]) -> Item:
    """Draws one item, every one equally likely."""
    return items[rng.randrange(len(items))]


def side(items: Sequence[Item], heldout: bool) -> tuple[Item, ...]:
    """Splits a fragment list by position: every fifth item is for held-out rows only.

    Args:
        items: All fragments of one kind, in a fixed order.
        heldout: Which side to return.

    Returns:
        The held-out fifth, or the other four fifths.
    """
    return tuple(
        item
        for index, item in enumerate(items)
        if (index % HELDOUT_EVERY == HELDOUT_EVERY - 1) == heldout
    )


def is_heldout(*parts: object) -> bool:
    """Says whether a combination of fragments is for held-out rows: about one in five is.

    A checksum decides, not arithmetic on the parts, so that no digit, name or phrase is left out
    of the ordinary rows altogether.
    """
    key = "|".join(str(part) for part in parts)
    return zlib.crc32(key.encode()) % HELDOUT_EVERY == 0


def seeded(name: str, seed: int, heldout: bool) -> random.Random:
    """Makes the random source of one corpus; the same arguments always give the same rows."""
    return random.Random(f"{name}:{seed}:{heldout}")


def drawn(draws: Iterable[Callable[[], Item]], heldout: bool) -> Iterator[Item]:
    """Calls each draw once for ordinary rows, and until it gives something new for held-out ones.

    Ordinary rows keep the shares that the draws give them, repeats and all. A held-out draw that
    has only repeats left is let through after a few tries, so that it always ends.
    """
    seen: set[Item] = set()
    for draw in draws:
        item = draw()
        for _ in range(MAX_REDRAWS if heldout else 0):
            if item not in seen:
                break
            item = draw()
        seen.add(item)
        yield item


def write_jsonl(path: Path, rows: Iterable[Row]) -> int:
    """Writes rows as ASCII JSON Lines, creating the folder where needed.

    Returns:
        The number of rows written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    num_rows = 0
    with path.open("w", encoding="ascii", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            num_rows += 1
    return num_rows


def parser(default_name: str) -> argparse.ArgumentParser:
    """Builds the command line that every generator has."""
    result = argparse.ArgumentParser(prog=f"python -m data.generators.{default_name}")
    result.add_argument("--rows", type=int, default=1000, help="how many rows to write")
    result.add_argument("--seed", type=int, default=0, help="same seed, same rows")
    result.add_argument("--out", type=Path, default=Path(f"{default_name}.jsonl"))
    result.add_argument("--heldout", action="store_true", help="only fragments kept for probes")
    return result


def run(generate: Generate, args: argparse.Namespace) -> None:
    """Writes the rows that the parsed command line asks for."""
    num_rows = write_jsonl(args.out, generate(args.rows, args.seed, args.heldout))
    print(f"{num_rows} rows -> {args.out}")


def main(generate: Generate, default_name: str) -> None:
    """Runs a generator of one task from the command line."""
    run(generate, parser(default_name).parse_args())
