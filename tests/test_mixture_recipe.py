"""The base model's mixture, whole but small: 25 tasks in the forms in which they are published."""

import csv
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tasks import ingest, split, template, train
from tasks.config import load_recipe
from tasks.stage import Inputs
from tests.toy import WORDS

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "configs" / "recipes" / "pocket_flan_mixture.yaml"
NUM_ROWS = 60
CORPORA = {
    "friend_chats": "friend_chats",
    "passages": "passage_qa",
    "entities": "named_entities",
    "sentiment": "review_sentiment",
    "rating": "review_rating",
    "dates": "dates",
    "news": "news",
    "notes": "notes",
    "paraphrase": "paraphrase",
    "entailment": "entailment",
    "translation": "translation",
}
"""Corpus -> file of held-out rows that have the same fields."""


def sentences(word: str) -> list[str]:
    return [f"the {word} {other} was seen {n} times" for n in range(NUM_ROWS) for other in WORDS]


def write_corpora(folder: Path) -> None:
    folder.mkdir(parents=True)
    for corpus, probe in CORPORA.items():
        lines = (ROOT / "data" / "probes" / f"{probe}.jsonl").read_text(encoding="utf-8")
        rows = "\n".join(lines.splitlines()[:NUM_ROWS])
        (folder / f"{corpus}.jsonl").write_text(rows, encoding="utf-8")
    stories = [sys.executable, "-m", "data.generators.stories", "--rows", str(NUM_ROWS), "--out"]
    subprocess.run([*stories, str(folder / "stories.jsonl")], cwd=ROOT, check=True)


def write_public(folder: Path) -> None:
    """Made-up rows in the files that docs/pocket_flan.md names."""
    for name in ("gutenberg_prose", "nltk_corpora", "codexglue_java_cs", "fairytaleqa"):
        (folder / name).mkdir(parents=True)
    (folder / "mts_dialog").mkdir()
    days = [f"{line} on day {day}." for day in range(60) for line in sentences("wild")]
    prose = "\n\n".join(days).encode()
    archive = folder / "gutenberg_prose" / "gutenberg_prose_15_authors.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        member = tarfile.TarInfo("Somebody/A Book.txt")
        member.size = len(prose)
        tar.addfile(member, io.BytesIO(prose))
    with zipfile.ZipFile(folder / "nltk_corpora" / "sentence_polarity.zip", "w") as file:
        for side in ("pos", "neg"):
            file.writestr(f"sentence_polarity/rt-polarity.{side}", "\n".join(sentences(side)))
    with zipfile.ZipFile(folder / "nltk_corpora" / "pros_cons.zip", "w") as file:
        for tag in ("Pros", "Cons"):
            rows = [f"<{tag}>{line}</{tag}>" for line in sentences(tag)]
            file.writestr(f"pros_cons/Integrated{tag}.txt", "\n".join(rows))
    for path in ("BTC/a.conll", "wnut17/wnut17train.conll", "wnut17/emerging.dev.conll"):
        write_conll(folder / "ner" / path, "B-person", "\t")
    write_conll(folder / "ner" / "wikigold" / "wikigold.conll.txt", "I-PER", " ")
    for part in ("train", "valid"):
        for side in ("java", "cs"):
            words = [f"{word}{number}" for number in range(NUM_ROWS) for word in WORDS]
            lines = [f"int {word}{part}() {{ return {word}; }}" for word in words]
            path = folder / "codexglue_java_cs" / f"{part}.java-cs.txt.{side}"
            path.write_text("\n".join(lines))
    with zipfile.ZipFile(folder / "fairytaleqa" / "fairytaleqa.zip", "w") as file:
        for part in ("train", "test"):
            named = [(line, f"what was seen in {part} ?", "a fox") for line in sentences(part)]
            file.writestr(f"{part}.csv", table(("content", "question", "answer1"), named))
    for part in ("Training", "Validation"):
        rows = [(f"Doctor: {line}?\nPatient: Yes.", f"Seen: {line}.") for line in sentences(part)]
        path = folder / "mts_dialog" / f"MTS-Dialog-{part}Set.csv"
        path.write_text(table(("dialogue", "section_text"), rows))


def write_conll(path: Path, tag: str, between: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [f"{word}{number}" for number in range(NUM_ROWS) for word in WORDS]
    rows = [(("Anna", tag), ("saw", "O"), (word + path.stem, "O")) for word in words]
    blocks = ["\n".join(between.join(pair) for pair in row) for row in rows]
    path.write_text("\n\n".join(blocks) + "\n")


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


def small_model(folder: Path) -> Path:
    """The configuration that the base model is made from, with small numbers in it."""
    shutil.copytree(ROOT / "configs" / "models" / "pocket_mixture", folder)
    config = json.loads((folder / "config.json").read_text())
    sizes = {"d_model": 16, "d_ff": 16, "d_kv": 8, "num_heads": 2}
    layers = {"num_layers": 1, "num_decoder_layers": 1}
    (folder / "config.json").write_text(json.dumps(config | sizes | layers))
    return folder


def test_the_mixture_runs_up_to_a_trained_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="retune")
    monkeypatch.chdir(tmp_path)
    write_corpora(tmp_path / ".retune" / "corpora")
    write_public(tmp_path / ".retune" / "public")
    recipe = load_recipe(
        RECIPE,
        [
            f"base_model.path={small_model(tmp_path / 'model')}",
            "base_model.from_scratch=true",
            "mixture.cap=4",
            "split.validation=0.2",
            "split.test=0.2",
            "split.near_duplicates=null",
            "train.epochs=1",
            "train.compile=false",
            "forgetting.probes=null",
        ],
    )
    inputs = Inputs(tmp_path / "workspace", {})
    for stage in (ingest, template, split, train):
        artifact = stage.run(stage.select(recipe), inputs)  # type: ignore[attr-defined]
        inputs = Inputs(inputs.workspace, {**inputs.artifacts, artifact.stage: artifact})
    tasks = {task.name for task in recipe.tasks}
    assert len(tasks) == 25
    drawn = {
        message.removeprefix("train: ").partition(": ")[0]
        for message in caplog.messages
        if " draws an epoch of " in message
    }
    assert drawn == tasks, "every task is drawn from"
    assert (artifact.path / "model" / "model.safetensors").is_file()
