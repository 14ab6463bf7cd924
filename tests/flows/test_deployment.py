"""The deployment in prefect.yaml, for real: server, pool, deploy, worker, run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.temporary_server import temporary_server

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

PREFECT = [sys.executable, "-m", "prefect"]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.delenv("PREFECT_PROFILE", raising=False)
        with temporary_server() as wait_until_ready:
            wait_until_ready()
            own = {
                "RETUNE_HOME": str(tmp_path / "home"),
                "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
                "PYTHONPATH": str(REPOSITORY),
                "PREFECT_CLI_COLORS": "false",
            }
            yield dict(os.environ) | own


def prefect(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PREFECT, *arguments],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_worker_runs_the_deployment(environment, tmp_path):
    recipe = write_recipe(tmp_path)
    for arguments in (
        ("work-pool", "create", "retune", "--type", "process"),
        ("--no-prompt", "deploy", "--all"),
        ("deployment", "run", "finetune/finetune", "--param", f"recipe={recipe}"),
    ):
        done = prefect(environment, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    worker = prefect(environment, "worker", "start", "--pool", "retune", "--run-once")
    assert worker.returncode == 0, worker.stdout + worker.stderr
    runs = json.loads(prefect(environment, "flow-run", "ls", "--output", "json").stdout)
    assert [(run["name"], run["state"]["type"]) for run in runs] == [("talk", "COMPLETED")], (
        worker.stdout + worker.stderr
    )
    result = tmp_path / "home" / "workspaces" / "talk" / "register" / "result.json"
    assert json.loads(result.read_text(encoding="utf-8"))["model"] == "talker"


def write_recipe(folder: Path) -> Path:
    """The smallest run that is one: a random T5 of a few thousand weights, 40 dialogues."""
    base = make_tiny_t5(folder / "tiny_t5")
    recipe = folder / "talk.yaml"
    recipe.write_text(
        "name: talk\n"
        f"base_model: {{path: {base}}}\n"
        "tasks:\n"
        f"  - {{name: talk, source: {{path: {REPOSITORY}/data/support_chat.jsonl}},"
        " prompts: dialogue_summary, max_examples: 40}\n"
        "train: {epochs: 1, max_prompt_tokens: 256}\n"
        "generation: {max_new_tokens: 4}\n"
        "test: {resamples: 1000, baselines: [zero_shot]}\n"
        "forgetting: {probes: null}\n"
        "registry: {model: talker}\n"
    )
    return recipe


def make_tiny_t5(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    words = ["<pad>", "</s>", "<unk>", "Guest", "Agent", ":", ".", "the", "a", "Saturday"]
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
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
