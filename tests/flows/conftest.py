"""Toy stages: real `Stage` objects that count words, and fail on demand."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.temporary_server import temporary_server
from tasks.config import BaseModelSection, Recipe, Registry, Section, Source, TaskSection
from tasks.stage import Counted, Inputs, Output, Stage


class WordsSection(Section):
    text: str


Write = Callable[[WordsSection, Inputs, Output], Counted]


def write_words(section: WordsSection, inputs: Inputs, output: Output) -> Counted:
    words = section.text.split()
    (output.path / "words.txt").write_text("\n".join(words), encoding="utf-8")
    return Counted(len(words), {})


def select_name(recipe: Recipe) -> WordsSection:
    return WordsSection(text=recipe.name.replace("-", " "))


ToyStage = Callable[..., Stage[WordsSection]]


@pytest.fixture
def toy_stage() -> ToyStage:
    def make(name: str, write: Write = write_words, needs: tuple[str, ...] = ()) -> Stage:
        return Stage(name, "7", needs=needs, select=select_name, write=write)

    return make


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    data = str(tmp_path / "data.jsonl")
    return Recipe(
        name="three-little-words",
        base_model=BaseModelSection(path="models/none"),
        tasks=(TaskSection(name="talk", source=Source(path=data), prompts="plain"),),
        registry=Registry(model="talker"),
    )


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The server that `retune run` starts, on a new database, for all tests of this process.

    Not `prefect_test_harness`: it imports the server's database models into this process, where
    those of MLflow are as well, and SQLAlchemy warns about the one when it sets up the other.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.delenv("PREFECT_PROFILE", raising=False)
        with temporary_server() as wait_until_ready:
            from prefect.settings import PREFECT_API_URL, temporary_settings

            wait_until_ready()
            with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
                yield
