"""What several test files share."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.split import COLUMNS
from tasks.stage import Artifact

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def restored_process() -> Iterator[None]:
    """What the product sets in its process (variables, DVC's log handlers) ends with the test."""
    logging.getLogger("dvc").handlers.clear()  # they hold the captured streams of another test
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def forked_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and scoring processes start at once: for tests of what they do once started."""
    from tests.forked import SUBPROCESS

    monkeypatch.setattr("tasks.launch.subprocess", SUBPROCESS)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public data sets to try things on; tests that use them are skipped without them."""
    folder = Path(os.environ.get("RETUNE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no shared data; set RETUNE_SHARED_DATA")
    return folder


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder."""
    home = tmp_path / "state"
    monkeypatch.setenv("RETUNE_HOME", str(home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    monkeypatch.setenv("PREFECT_HOME", str(home / "prefect"))
    return home


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, which take seconds to create, made once."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{path}"]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=path.parent)
    return path


@pytest.fixture
def home(
    state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> Iterator[Path]:
    """The state folder with MLflow's database in it; the current folder is the test's own."""
    state_home.mkdir()
    shutil.copy(empty_database, state_home / "mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    yield state_home
    assert not (tmp_path / "mlruns").exists()


WORDS = ["red", "green", "blue", "black", "white", "pink", "brown", "grey"]


def make_tiny_tokenizer() -> Any:
    """A byte-level tokenizer of 400 tokens."""
    from tasks.training.tokenizer import train_tokenizer

    texts = [f"Say the colour {word} again: {word}" for word in WORDS] * 20
    return train_tokenizer(iter(texts), 400)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    return make_tiny_tokenizer()


ENDS = {"pad_token_id": 0, "eos_token_id": 1, "vocab_size": 400}


def save_tiny_t5(folder: Path, tokenizer: Any) -> Path:
    """A tiny randomly initialised encoder-decoder, always the same."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, T5Config

    torch.manual_seed(0)
    config = T5Config(
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
        dropout_rate=0.1,
        **ENDS,
    )
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_models(tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny randomly initialised models: `t5` (encoder-decoder), `llama`, `gpt2`."""
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    folders = {"t5": save_tiny_t5(tmp_path_factory.mktemp("t5"), tiny_tokenizer)}
    llama = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        **ENDS,
    )
    gpt2 = GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=256, bos_token_id=1, **ENDS)
    for name, config in (("llama", llama), ("gpt2", gpt2)):
        folder = tmp_path_factory.mktemp(name)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        folders[name] = folder
    return folders


WritePairs = Callable[[Path, int], Path]


@pytest.fixture(scope="session")
def write_pairs() -> WritePairs:
    """Writes `(path, rows)` prompt-completion pairs as a Parquet file of the split stage."""

    def write(path: Path, rows: int) -> Path:
        content = [
            {
                "id": f"{number:016x}",
                "group_id": None,
                "task": "colours" if number % 3 else "names",
                "template": "plain",
                "prompt": f"Say the colour {WORDS[number % len(WORDS)]} again" + "!" * (number % 7),
                "completion": WORDS[number % len(WORDS)],
                "references": [WORDS[number % len(WORDS)]],
                "label": None,
            }
            for number in range(rows)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(content).select(list(COLUMNS))
        for name in ("group_id", "label"):
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.nulls(rows, pa.string()))
        pq.write_table(table, path)
        return path

    return write


@pytest.fixture
def artifact() -> Iterator[Callable[[Path], Artifact]]:
    """Makes an artifact of a folder, as if a stage had written it."""

    def make(folder: Path) -> Artifact:
        return Artifact(folder.name, folder, "0" * 64, 0, "ran", 0.0, {})

    yield make
