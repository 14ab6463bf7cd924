"""What is printed for people: nothing is lost in a narrow terminal, or in a pipe of 80 columns."""

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from flows.doctor import Check
from flows.tables import doctor_table, garbage_table, models_table, verified_tables
from tasks.tracking.registry import Version
from tasks.tracking.retention import Garbage
from tasks.tracking.verify import Difference, Verified

NAME = "summarizer-of-the-conversations-of-the-German-shop"
PATH = f"/srv/[red]/{NAME}/scratch/{NAME}"
VERSION = Version(NAME, "12", "5d41", 1e9, PATH, ("challenger", "champion"), {})


def columns_of(table: RenderableType, width: int) -> str:
    """The cells of a printed table, column after column, without what only separates them."""
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if "│" in line]
    return " ".join("".join(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize(
    ("table", "told"),
    [
        (doctor_table([Check("state", "bad", PATH, "mend")]), PATH),
        (models_table([VERSION], ""), NAME),
        (models_table([VERSION], ""), "challengerchampion"),
        (garbage_table(Garbage((), (Path(PATH),)), deleted=False), PATH),
        (verified_tables(VERSION, Verified(1, (), (), (Difference(PATH, "a", "b"),)))[1], PATH),
    ],
    ids=["doctor", "models", "aliases", "gc", "verify"],
)
def test_no_name_is_cut_off(table: RenderableType, told: str, width: int) -> None:
    assert told.replace(" ", "") in columns_of(table, width).replace(" ", "")


def test_who_has_no_model_is_told_where_they_were_looked_for() -> None:
    assert "yet in http://mlflow:5000: `retune run" in str(models_table([], "http://mlflow:5000"))
