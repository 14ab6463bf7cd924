"""`train.interpolate`: the weights, the choice, and the stage that makes both."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks import forgetting, train
from tasks.config import Generation, Recipe
from tasks.errors import BadData, BadModel
from tasks.scoring.candidates import Measured, choose, measure, measures_of
from tasks.scoring.job import Way
from tasks.scoring.probes import examples_of, load_suite, side_of
from tasks.stage import Artifact, Inputs
from tests.test_replay import _without_mlflow
from tests.toy import ECHO, WORDS, examples, save_model, write_examples, write_rows

pytestmark = pytest.mark.usefixtures("forked_children")

SUITE = """\
name: tiny
probes: [{name: probe, source: {path: FOLDER/rows.jsonl}, prompts: FOLDER/echo.yaml}]
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: save_model(folder / kind, kind) for kind in ("t5", "llama")}


@pytest.fixture
def suite(tmp_path: Path) -> str:
    (tmp_path / "echo.yaml").write_text(ECHO)
    rows = [{"text": f"{word} {n}", "said": word} for n in range(8) for word in WORDS]
    write_rows(tmp_path / "rows.jsonl", rows)
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE.replace("FOLDER", str(tmp_path)))
    return str(path)


def test_weights_lie_between() -> None:
    import torch

    from tasks.training.interpolate import interpolated

    base = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor([3])}
    tuned = {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor([5])}
    half = interpolated(base, tuned, 0.25)
    assert half["w"].tolist() == [0.25, 2.5] and half["n"].tolist() == [5]
    assert interpolated(base, tuned, 1.0)["w"].equal(tuned["w"])
    assert interpolated(base, tuned, 0.0)["w"].equal(base["w"])
    assert base["w"].tolist() == [0.0, 2.0] and tuned["w"].tolist() == [1.0, 4.0]
    with pytest.raises(BadModel, match="such as w"):
        interpolated({"w": torch.zeros(3)}, {"w": torch.zeros(2)}, 0.5)
    with pytest.raises(BadModel, match="2 weights"):
        interpolated({"a": torch.zeros(1)}, {"b": torch.zeros(1)}, 0.5)


@pytest.mark.parametrize("dora", [False, True])
def test_the_adapter_goes_along(models: dict[str, Path], tmp_path: Path, dora: bool) -> None:
    import torch
    from peft import PeftModel

    from tasks.config import Train
    from tasks.config.methods import Lora
    from tasks.training.adapters import merge, save_trained, with_adapters
    from tasks.training.batching import Batch
    from tasks.training.interpolate import InterpolationJob, write
    from tasks.training.model import load_model, load_tokenizer

    base = models["llama"]
    model = with_adapters(load_model(base), Train(method="lora", lora=Lora(rank=2, dora=dora)))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    save_trained(model, tmp_path / "adapter")
    inputs = {"input_ids": torch.arange(5, 25).reshape(2, 10)}
    batch = Batch(
        inputs, labels=inputs["input_ids"], num_supervised=20, num_tokens=20, num_padded=20
    )
    merge(load_model(base), tmp_path / "adapter", batch)[0].save_pretrained(tmp_path / "tuned")
    load_tokenizer(base).save_pretrained(tmp_path / "tuned")
    write(
        InterpolationJob(
            base=base,
            allow_pickle=False,
            tuned=tmp_path / "tuned",
            adapter=tmp_path / "adapter",
            alpha=0.3,
            output=tmp_path / "out",
            events=tmp_path / "events",
        )  # fmt: skip
    )
    assert (tmp_path / "out" / "adapter").exists() != dora
    if dora:
        return
    with torch.no_grad():
        found = load_model(tmp_path / "out" / "model").eval()(**inputs).logits
        adapted = PeftModel.from_pretrained(load_model(base), tmp_path / "out" / "adapter").eval()
        torch.testing.assert_close(adapted(**inputs).logits, found, atol=1e-4, rtol=1e-4)
        tuned = load_model(tmp_path / "tuned").eval()(**inputs).logits
        assert (tuned - found).abs().max() > 0.01


def measured(validation: float, drop: float) -> Measured:
    return Measured(validation, 0.1, 0.0, 0.2, "dates", drop, drop, drop, drop <= 0.05)


BEST, CHEAPER = (0.4, 0.04), (0.3, 0.0)
BEYOND = (0.5, 0.2)


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        ([BEST, CHEAPER], 0),
        ([BEYOND, CHEAPER], 1),  # none but one keeps the budget
        ([BEYOND, CHEAPER, BEST], 2),  # several keep it: the best on validation
        ([BEYOND, (0.3, 0.05), CHEAPER], 2),  # a tie: the one that forgot less
        ([BEYOND, CHEAPER, CHEAPER], 1),  # a tie in both: the cheaper
        ([(0.6, 0.3), BEYOND, (0.1, 0.1), (0.4, 0.11)], 2),  # none keeps it: the least forgotten
        ([(0.6, 0.2), (0.7, 0.2), (0.7, 0.2)], 1),  # as much forgotten: the best, then the cheaper
    ],
)
def test_the_best_within_the_budget_is_chosen(
    tried: list[tuple[float, float]], chosen: int
) -> None:
    candidates = {str(number): measured(*figures) for number, figures in enumerate(tried)}
    assert choose(candidates) == str(chosen)


def test_a_probe_is_halved_by_its_rows(suite: str, tmp_path: Path) -> None:
    [probe] = load_suite(suite)
    ids = {
        side: {row["id"] for row in examples_of(probe, 40, tmp_path, side=side)}
        for side in ("all", "validation", "test")
    }
    assert ids["validation"] | ids["test"] == ids["all"] and len(ids["all"]) == 40
    assert not ids["validation"] & ids["test"]
    assert 10 < len(ids["test"]) < 30
    assert all(side_of(record) == "test" for record in ids["test"])


def recipe(base: Path, suite: str, **changes: Any) -> Recipe:
    content = {
        "name": "toy",
        "base_model": {"path": str(base)},
        "tasks": [
            {
                "name": "echo",
                "source": {"path": "unused"},
                "prompts": str(Path(suite).with_name("echo.yaml")),
                "metrics": ["exact_match"],
            }
        ],
        "train": {"epochs": 1, "batch_tokens": 512, "interpolate": {"alphas": [0.5]}},
        "generation": {"max_new_tokens": 4},
        "test": {"resamples": 1000},
        "forgetting": {"probes": suite},
        "registry": {"model": "m"},
    }
    return Recipe.model_validate_json(json.dumps(content | changes))


def test_probes_judge_by_the_rows_that_no_choice_was_made_by(
    models: dict[str, Path], suite: str
) -> None:
    chosen = recipe(models["t5"], suite)
    assert forgetting.select(chosen).side == "test"
    plain = chosen.model_copy(
        update={"train": chosen.train.model_copy(update={"interpolate": None})}
    )
    assert forgetting.select(plain).side == "all"


def test_probes_are_answered_at_length_and_greedily(
    models: dict[str, Path], suite: str, tmp_path: Path
) -> None:
    generation = {"max_new_tokens": 2, "temperature": 1.0, "seed": 3, "batch_tokens": 900}
    chosen = recipe(models["t5"], suite, generation=generation)
    measures = measures_of(chosen)
    assert measures.probe_generation == Generation(max_new_tokens=96, batch_tokens=900)
    assert forgetting.select(chosen).generation == measures.probe_generation
    assert measures.generation == chosen.generation
    split, scratch = tmp_path / "split", tmp_path / "scratch"
    write_examples(split / "train.parquet", examples("echo", 4))
    write_examples(split / "validation.parquet", examples("echo", 6, first=40))
    base = Way(model=models["t5"].absolute())
    measure(measures, base, {"same": base}, split, scratch)
    lengths: dict[str, list[int]] = {"echo": [], "probe/probe": []}
    for line in (scratch / "predictions.jsonl").read_text().splitlines():
        row = json.loads(line)
        lengths[row["task"]].append(len(row["completions"]["base"]))
        assert row["task"] == "echo" or len(set(row["completions"].values())) == 1
    assert max(lengths["echo"]) < 30 < max(lengths["probe/probe"])


def test_probes_to_choose_by_are_missed_before_training(
    models: dict[str, Path], suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = examples_of(load_suite(suite)[0], None, tmp_path)
    known = [row for row in rows if side_of(row["id"]) == "validation"]
    write_examples(tmp_path / "split" / "train.parquet", known)
    made = {"split": Artifact("split", tmp_path / "split", "digest", 1, "ran", 0.0, {})}
    monkeypatch.setattr(train, "_sweep", lambda *_: pytest.fail("it trains"))
    section = train.select(recipe(models["t5"], suite))
    with pytest.raises(BadData, match="the probe probe"):
        train.run(section, Inputs(tmp_path, made))


def test_the_stage_chooses_and_does_not_train_twice(
    models: dict[str, Path],
    suite: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from tasks.training.interpolate import interpolated
    from tasks.training.model import load_model

    _without_mlflow(monkeypatch)
    caplog.set_level("INFO", "retune")
    split = tmp_path / "workspace" / "split"
    write_examples(split / "train.parquet", examples("echo", 40))
    write_examples(split / "validation.parquet", examples("echo", 6, first=40))
    made = {"split": Artifact("split", split, "digest", 46, "ran", 0.0, {})}
    inputs = Inputs(tmp_path / "workspace", made)
    artifact = train.run(train.select(recipe(models["t5"], suite)), inputs)

    found = json.loads((artifact.path / "interpolation.json").read_text())
    assert [tried["alpha"] for tried in found["candidates"]] == [0.5, 1.0]
    assert (found["metric"], found["candidates"][0]["worst"]) == ("exact_match", "probe")
    assert found["alpha"] == 0.5  # neither can do it, and that one is nearer to the base model
    assert "alpha 0.5: validation exact_match 0.000" in caplog.text
    weights = {
        name: load_model(folder).state_dict()
        for name, folder in (
            ("base", models["t5"]),
            ("tuned", inputs.workspace / "training" / "model"),
            ("chosen", artifact.path / "model"),
        )
    }
    expected = interpolated(weights["base"], weights["tuned"], 0.5)
    assert all(weights["chosen"][name].equal(weight) for name, weight in expected.items())
    assert {"summary.json", "epochs.csv", "steps.jsonl"} <= {
        p.name for p in artifact.path.iterdir()
    }

    # The validation split is gone: what scores would fail, and so would a training.
    caplog.clear()
    budget = recipe(models["t5"], suite, forgetting={"probes": suite, "max_drop": 0.5})
    shutil.move(split / "validation.parquet", split / "elsewhere.parquet")
    with pytest.raises(FileNotFoundError, match=r"validation\.parquet"):
        train.run(train.select(budget), inputs)
    assert "training: reused" in caplog.text
