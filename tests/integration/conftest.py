"""A company's data and recipes, made up, and the real `retune` command on them."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.toy import write_rows

REPOSITORY = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from flows.cli import main; main()"]
PATIENCE_S = 600.0
SECRET = "planted-7d21ab"
"""In the environment of every command."""

COLOURS = ["red", "green", "blue", "black", "white", "pink", "brown", "grey"]
THINGS = ["lamp", "chair", "cup", "door", "coat", "boat", "kite", "ring"]

EPOCHS = 4
RECIPE = """\
name: NAME
base_model: {path: FOLDER/base}
tasks:
TASKS
train: {epochs: EPOCHS, learning_rate: 5e-3, batch_tokens: 512, max_prompt_tokens: 160,
        precision: fp32, checkpoint_minutes: 0.003}
generation: {max_new_tokens: 12}
test: {resamples: 1000}
forgetting: {probes: FOLDER/suite.yaml}
registry: {model: clerk-NAME}
"""
SUITE = """\
name: suite
probes: [{name: counting, source: {path: FOLDER/counting.jsonl}, prompts: dates}]
"""
CHATS = "  - {name: chats, source: {path: FOLDER/chats.jsonl}, prompts: dialogue_summary}"
MOODS = "  - {name: moods, source: {path: FOLDER/moods.jsonl}, prompts: review_sentiment}"


@dataclass(frozen=True)
class Company:
    """What the tests start from.

    Attributes:
        folder: Where everything lies.
        chats: 120 dialogues with summaries.
        recipe: Summarization alone.
        two_tasks: Summarization and classification.
    """

    folder: Path
    chats: Path
    recipe: Path
    two_tasks: Path


@dataclass(frozen=True)
class Ended:
    """A command that has ended; `log` is what it said on standard error."""

    returncode: int
    stdout: str
    log: str
    seconds: float

    @property
    def result(self) -> dict[str, Any]:
        """The document that it printed; the log where there is none, to see why."""
        assert self.stdout, self.log
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    @property
    def states(self) -> list[str]:
        """State of every stage, in order."""
        return [stage["state"] for stage in self.result["stages"].values()]


class Command:
    """A `retune` command under way, with a state folder of its own."""

    def __init__(
        self, home: Path, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> None:
        home.mkdir(exist_ok=True)
        self.home = home
        self.started = time.monotonic()
        self.log_file = home.with_name(f"{home.name}.log")
        self.output_file = home.with_name(f"{home.name}.out")
        with self.log_file.open("w") as log, self.output_file.open("w") as output:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=REPOSITORY, env={**environment(home), **(variables or {})},
                stdin=subprocess.DEVNULL, stdout=output, stderr=log,
            )  # fmt: skip

    def end(self) -> Ended:
        """Wait for its end."""
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()  # leave nothing behind
            raise AssertionError(f"{self.log}not done after {PATIENCE_S:.0f} s") from None
        seconds = time.monotonic() - self.started
        return Ended(self.process.returncode, self.output_file.read_text(), self.log, seconds)

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def wait_for(self, happens: Callable[[], Any]) -> Any:
        """Wait until something is there, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        try:
            while not (found := happens()):
                assert self.process.poll() is None, self.log
                assert time.monotonic() < deadline, self.log
                time.sleep(0.005)
        except AssertionError:
            self.kill()  # leave nothing behind
            raise
        return found

    def kill(self) -> None:
        """kill -9, of this one process; whatever it started must follow by itself."""
        self.process.kill()
        self.process.wait()


def environment(home: Path) -> Mapping[str, str]:
    """A user's variables, without what this process has been told of servers and state."""
    told = ("PREFECT_", "MLFLOW_", "RETUNE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    secrets = {name: SECRET for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN")}
    return kept | secrets | {"RETUNE_HOME": str(home), "OMP_NUM_THREADS": "1"}


def retune(home: Path, *arguments: str) -> Ended:
    """Run a command to its end."""
    return Command(home, *arguments).end()


def processes_of(home: Path, module: str = "") -> list[psutil.Process]:
    """The processes of all commands with this state folder that are still there.

    Args:
        home: The state folder.
        module: Only those that run this module; not torchrun, which has it as an argument.
    """
    found = []
    for process in psutil.process_iter():
        try:
            is_its = process.environ().get("RETUNE_HOME") == str(home)
            words = process.cmdline() if is_its else []
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        is_launcher = "tasks.torchrun" in words
        if words and (not module or (module in words and not is_launcher)):
            found.append(process)
    return found


@pytest.fixture(scope="session")
def company(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Company:
    folder = tmp_path_factory.mktemp("company")
    (folder / "base").symlink_to(tiny_models["t5"])
    counting = [{"question": f"What comes after {n}?", "answer": str(n + 1)} for n in range(20)]
    write_rows(folder / "counting.jsonl", counting)
    write_rows(folder / "moods.jsonl", moods(80))
    (folder / "suite.yaml").write_text(SUITE.replace("FOLDER", str(folder)))
    return Company(
        folder=folder,
        chats=write_rows(folder / "chats.jsonl", chats(120)),
        recipe=write_recipe(folder, "chats", CHATS),
        two_tasks=write_recipe(folder, "both", f"{CHATS}\n{MOODS}"),
    )


def write_recipe(folder: Path, name: str, tasks: str) -> Path:
    path = folder / f"{name}.yaml"
    text = RECIPE.replace("TASKS", tasks).replace("NAME", name).replace("EPOCHS", str(EPOCHS))
    path.write_text(text.replace("FOLDER", str(folder)))
    return path


def chats(num_rows: int) -> list[dict[str, str]]:
    draw = random.Random(1)
    rows = []
    for number in range(num_rows):
        thing, colour = draw.choice(THINGS), draw.choice(COLOURS)
        guest = f"Guest: My {thing} {draw.randrange(99)} is {draw.choice(COLOURS)}, I want {colour}"
        agent = f"Agent: Order {number}: {colour} it is."
        row = {"dialogue": f"{guest}.\n{agent}", "summary": f"The {thing} will be {colour}."}
        rows.append(row)
    return rows


def moods(num_rows: int) -> list[dict[str, str]]:
    draw = random.Random(2)
    return [
        {
            "text": f"{draw.choice(COLOURS)} {draw.choice(THINGS)} {number}: {word} {word}!",
            "label": label,
        }
        for number in range(num_rows)
        for word, label in [draw.choice([("good", "positive"), ("bad", "negative")])]
    ]
