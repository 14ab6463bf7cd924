"""A home of its own for every test: an embedded MLflow in `tmp_path`, and a tiny model."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TEMPLATES = [
    {"name": "gist", "heldout": False, "prompt": "Gist: {{ dialogue }}", "completion": "{{ x }}"},
    {"name": "short", "heldout": False, "prompt": "Short: {{ dialogue }}", "completion": "{{ x }}"},
]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, which take seconds to create, made once."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{path}"]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=path.parent)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Iterator[Path]:
    """The state folder; MLflow keeps its database and artifacts in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    monkeypatch.setenv("RETUNE_HOME", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    yield folder
    assert not (tmp_path / "mlruns").exists()


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised T5 of a few thousand weights, with a word tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    words = ["<pad>", "</s>", "<unk>", "Gist", "Short", "Ana", "Bo", "Lunch", "one", "two", "meet"]
    words += [":", "?", ".", "at", "you", "See", "there"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(2)
    config = T5Config(
        vocab_size=len(words), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
        initializer_factor=3.0, tie_word_embeddings=False,  # so that answers differ
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny_t5")
    T5ForConditionalGeneration(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """The stored templates of two tasks that share a slot."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    for task, templates in {"chat": TEMPLATES, "mail": TEMPLATES[::-1]}.items():
        content = {
            "name": "dialogue", "version": "1", "task": "summarization", "slots": ["dialogue"],
            "target": "x", "choices": [], "digest": "d", "templates": templates,
        }  # fmt: skip
        (folder / f"{task}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
