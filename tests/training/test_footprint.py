"""What training is forecast to hold, against the peak of the process that trains."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.memory import CONFIGURATIONS, DEFAULTS, measured, write_job, write_model
from tasks.config import Train
from tasks.launch import LAUNCHER, environment
from tasks.training.forecast import Forecast, ForecastJob, Shape, mend
from tests.architectures import DECODER
from tests.training.attempts import SERVER

WIDTH, NUM_LAYERS, LONGEST = 512, 2, 120
SMALLER = {"batch_tokens": 1024, "micro_batch_tokens": 512}
ROOM = 10**12


def _as_launched() -> None:
    import torch

    os.environ.update(environment(1))
    del os.environ[LAUNCHER]  # it is another process that this one is to end with
    torch.set_num_threads(1)


def _trained(job: Path) -> None:
    from tasks.training.main import main

    _as_launched()
    os._exit(main(str(job)))


def _forecast(job: ForecastJob, output: Path) -> None:
    from tasks.training.footprint import forecast

    _as_launched()
    output.write_text(forecast(job).model_dump_json(), encoding="utf-8")


def in_a_process(target: Any, *arguments: Any) -> None:
    process = SERVER.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def forecast_of(folder: Path, train: Train, longest: tuple[int, int], room: int) -> Forecast:
    """In a process of the same kind as the one that trains."""
    prompt, completion = longest
    job = ForecastJob(
        folder=folder, train=train, prompt=prompt, completion=completion, available=room,
        processes=train.launch.num_per_node,
    )  # fmt: skip
    in_a_process(_forecast, job, folder / "forecast.json")
    return Forecast.model_validate_json((folder / "forecast.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    names = {name for name, _ in CONFIGURATIONS}
    return {name: write_model(name, WIDTH, NUM_LAYERS, folder / name) for name in names}


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS, ids=json.dumps)
def test_the_peak_is_forecast_within_a_fifth(
    models: dict[str, Path], tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    train = Train.model_validate({**DEFAULTS, **SMALLER, **options})
    job = write_job(models[name], train, LONGEST, tmp_path / "run")
    in_a_process(_trained, job)
    peak, longest = measured(job.parent)
    found = forecast_of(models[name], train, longest, ROOM)
    assert found.memory_bytes == pytest.approx(peak, rel=0.2)


def test_logits_are_gone_when_their_gradients_come(tmp_path: Path) -> None:
    import torch
    from transformers import LlamaConfig

    from tasks.training.footprint import footprint

    vocabulary, completion = 30_000, 100
    sizes: Any = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    LlamaConfig(**sizes, num_attention_heads=1, vocab_size=vocabulary).save_pretrained(tmp_path)
    shape, train = Shape(1, 2, completion, accumulates=True), Train(precision="fp32")
    found = footprint(tmp_path, train, shape, torch.device("cpu"))
    # The logarithms of the probabilities, their gradients, and the gradients of the logits.
    assert found.activations == pytest.approx(3 * 4 * completion * vocabulary, rel=0.1)


def test_what_does_not_fit_is_told_with_what_would(models: dict[str, Path]) -> None:
    train = Train.model_validate(DEFAULTS)
    whole = forecast_of(models["t5"], train, (200, 50), ROOM)
    assert whole.fits and not whole.changes
    room = whole.memory_bytes - whole.parts["optimizer"] // 2
    tight = forecast_of(models["t5"], train, (200, 50), room)
    assert not tight.fits
    assert len(tight.changes) == 3
    keys = [set(change.set) for change in tight.changes]
    assert not any(one < other for one in keys for other in keys)  # none asks for too much
    assert all(change.memory_bytes <= room for change in tight.changes)
    last = tight.changes[-1]
    changed = Train.model_validate({**DEFAULTS, **last.set})
    found = forecast_of(models["t5"], changed, (200, 50), ROOM)
    assert found.memory_bytes == pytest.approx(last.memory_bytes, rel=0.02)
    assert "it would fit with --set train." in mend(tight)


def test_processes_that_share_too_little_are_told_that_one_would_fit(
    models: dict[str, Path],
) -> None:
    train = Train.model_validate({**DEFAULTS, "launch": {"processes_per_node": 4}})
    whole = forecast_of(models["t5"], train, (200, 50), ROOM)
    tight = forecast_of(models["t5"], train, (200, 50), round(1.5 * whole.memory_bytes))
    assert not tight.fits and tight.changes[0].set == {"launch.processes_per_node": 1}
    assert "--set train.launch.processes_per_node=1 (about" in mend(tight)


def test_where_little_helps_there_are_three_changes_all_the_same(models: dict[str, Path]) -> None:
    train = Train.model_validate({**DEFAULTS, "batch_tokens": 16_384, "micro_batch_tokens": 16_384})
    whole = forecast_of(models["llama"], train, (200, 50), ROOM)
    room = whole.memory_bytes - whole.parts["activations"] // 2
    tight = forecast_of(models["llama"], train, (200, 50), room)
    changes = [change.set for change in tight.changes]
    assert len(changes) == len({*map(json.dumps, changes)}) == 3
    assert all(change.memory_bytes <= room for change in tight.changes)
    assert {"micro_batch_tokens": 2048} in changes or {"micro_batch_tokens": 1024} in changes


MOE: Any = {"num_local_experts": 2, "num_experts_per_tok": 1, "vocab_size": 99}
SMALL: Any = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 99}
SMALL |= {
    f"{half}_{of}": 2 for half in ("encoder", "decoder") for of in ("attention_heads", "ffn_dim")
}
UNUSUAL: dict[str, Any] = {
    "experts in fp32": ("MixtralConfig", DECODER | MOE | {"num_hidden_layers": 1}),
    "layers left out at random": ("M2M100Config", SMALL | {"encoder_layerdrop": 0.5}),
    "global attention": ("LEDConfig", SMALL | {"attention_window": [8]}),
}
"""Models that want to know what is in a tensor, or compute by what only takes bf16."""


@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_model_that_looks_at_content_is_counted_all_the_same(kind: str, tmp_path: Path) -> None:
    import torch
    import transformers

    from tasks.training.footprint import footprint
    from tasks.training.forecast import Shape

    name, sizes = UNUSUAL[kind]
    getattr(transformers, name)(**sizes).save_pretrained(tmp_path)
    train, shape = Train(precision="fp32"), Shape(4, 20, 10, accumulates=True)
    found = footprint(tmp_path, train, shape, torch.device("cpu"))
    assert found.activations > 4 * 30 * 32 * 4  # more than one hidden state of each token
