"""Every architecture trains, resumes, is saved, loaded and generates; with adapters too."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from tasks.config import Generation
from tasks.errors import BadModel, BadRecipe
from tasks.stage import digests_of_files
from tasks.training.job import TrainJob
from tests.architectures import ARCHITECTURES, DECODER, IDS, logits, save_architecture, some_inputs
from tests.conftest import WritePairs

TRAIN: dict[str, Any] = {
    "epochs": 2,
    "learning_rate": 1e-2,
    "batch_tokens": 512,
    "precision": "fp32",
    "checkpoint_minutes": 1e-6,
}
LORA = {
    "method": "lora",
    "lora": {"rank": 4, "alpha": 16},
    "learning_rate": 1e-2,
    "batch_tokens": 256,
}

IMAGES: Any = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
PROCESSOR = {
    "processor_config.json": {"processor_class": "Gemma3Processor"},
    "preprocessor_config.json": {"image_processor_type": "Gemma3ImageProcessor"},
}

MakeJob = Callable[..., TrainJob]
Bases = Callable[[str], Path]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Bases:
    """The folder of a tiny model of an architecture."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = save_architecture(name, folder, tiny_tokenizer)
        return made[name]

    return of


@pytest.fixture
def make_job(tmp_path: Path, write_pairs: WritePairs, base: Bases) -> MakeJob:
    def make(architecture: str, **train: Any) -> TrainJob:
        for part in ("output", "scratch"):
            (tmp_path / part).mkdir(exist_ok=True)
        content = {
            "base": str(base(architecture)),
            "base_name": "company/base",
            "base_revision": "abc",
            "from_scratch": False,
            "allow_pickle": False,
            "train_file": str(write_pairs(tmp_path / "train.parquet", 120)),
            "validation_file": str(write_pairs(tmp_path / "validation.parquet", 16)),
            "train": TRAIN | train,
            "mixture": {},
            **{name: str(tmp_path / name) for name in ("output", "scratch", "tokens", "events")},
        }
        return TrainJob.model_validate_json(json.dumps(content))

    return make


def save_whole(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save a model that reads images, with its processor."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    template = {"chat_template.json": {"chat_template": "of the processor"}}
    for name, content in (PROCESSOR | template).items():
        (folder / name).write_text(json.dumps(content))


def train(job: TrainJob) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the training process does; returns its summary and its epochs."""
    from tasks.training.main import train

    job.events.unlink(missing_ok=True)
    train(job)
    events = [json.loads(line) for line in job.events.read_text().splitlines()]
    epochs = [event for event in events if event["event"] == "epoch"]
    return json.loads((job.output / "summary.json").read_text()), epochs


def train_on_from_the_last_but_one_checkpoint(job: TrainJob) -> None:
    newest = sorted(job.scratch.glob("checkpoint-*.pt"))[-1]
    newest.unlink()
    shutil.rmtree(job.output)
    job.output.mkdir()
    train(job)
    assert "resumed" in job.events.read_text()


def answers(folder: Path) -> list[str]:
    from tasks.scoring.generate import complete, load_generator

    prompts = ["Say the colour red again", "Say the colour blue again!"]
    completions = complete(load_generator(folder), prompts, Generation(max_new_tokens=4), 64)
    assert all(completion.num_tokens for completion in completions)
    return [completion.text for completion in completions]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full(make_job: MakeJob, architecture: str) -> None:
    job = make_job(architecture)
    summary, epochs = train(job)
    assert epochs[-1]["validation_loss"] < 0.9 * epochs[0]["train_loss"]
    assert summary["trainable_parameters"] == summary["parameters"]
    made = digests_of_files(job.output / "model")
    answers(job.output / "model")
    train_on_from_the_last_but_one_checkpoint(job)
    assert digests_of_files(job.output / "model") == made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lora(make_job: MakeJob, architecture: str) -> None:
    import torch
    from peft import PeftModel

    from tasks.training.model import load_model

    job = make_job(architecture, **LORA)
    summary, epochs = train(job)
    assert epochs[-1]["validation_loss"] < 0.95 * epochs[0]["train_loss"]
    assert 0 < summary["trainable_parameters"] < 0.5 * summary["parameters"]
    assert 0 <= summary["merge"]["logit_difference"] <= summary["merge"]["tolerance"]
    # The two folders, each loaded as anyone would load it.
    merged, base = load_model(job.output / "model"), load_model(job.base)
    inputs = some_inputs(merged.config.is_encoder_decoder)
    before = logits(base, inputs)
    adapted = PeftModel.from_pretrained(base, job.output / "adapter")
    torch.testing.assert_close(logits(adapted, inputs), logits(merged, inputs), atol=1e-4, rtol=0)
    assert (logits(merged, inputs) - before).abs().max() > 1e-2
    answers(job.output / "model")
    made = digests_of_files(job.output)
    checkpoints = sorted(job.scratch.glob("checkpoint-*.pt"))
    assert len(torch.load(checkpoints[-1])["model"]) == len(adapted.state_dict()) - len(
        [name for name in adapted.state_dict() if "lora_" not in name]
    )
    train_on_from_the_last_but_one_checkpoint(job)
    resumed = digests_of_files(job.output)
    del made["speed.json"], resumed["speed.json"]
    assert resumed == made


@pytest.mark.parametrize("variant", [{"rslora": True}, {"dora": True}, {"targets": ["q", "v"]}])
def test_variants_of_lora(make_job: MakeJob, variant: dict[str, Any]) -> None:
    job = make_job("flan_t5", method="lora", lora={"rank": 2, **variant})
    summary, epochs = train(job)
    assert epochs[-1]["validation_loss"] < epochs[0]["train_loss"]
    config = json.loads((job.output / "adapter" / "adapter_config.json").read_text())
    assert config["use_rslora"] == variant.get("rslora", False)
    assert config["use_dora"] == variant.get("dora", False)
    if "targets" in variant:  # 6 attentions, q and v, two matrices of 2 x 32 each
        assert summary["trainable_parameters"] == 6 * 2 * 2 * 2 * 32


def test_the_adapter_says_what_it_belongs_to_and_nothing_of_this_machine(
    make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job("llama", **LORA)
    train(job)
    names = {path.name for path in (job.output / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors"}
    text = (job.output / "adapter" / "adapter_config.json").read_text()
    assert (json.loads(text)["base_model_name_or_path"], str(tmp_path) in text) == (
        "company/base",
        False,
    )


def test_the_same_adapter_has_the_same_config_whatever_the_hash_seed(make_job: MakeJob) -> None:
    job = make_job("llama", **LORA)
    train(job)
    config = json.loads((job.output / "adapter" / "adapter_config.json").read_text())
    targets = config["target_modules"]
    assert (len(targets), targets) == (2 * 7, sorted(targets))


@pytest.mark.parametrize("architecture", ["t5_tied", "llama"])
def test_adapters_with_recomputed_activations_are_the_same(
    make_job: MakeJob, architecture: str
) -> None:
    losses = []
    for recomputes in (False, True):
        job = make_job(architecture, **LORA, gradient_checkpointing=recomputes, packing=True)
        summary, epochs = train(job)
        assert summary["packed"] == (architecture == "llama")
        losses.append([epoch["validation_loss"] for epoch in epochs])
        shutil.rmtree(job.scratch)
        shutil.rmtree(job.output)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_what_reads_images_is_left_out_of_a_model_and_told(
    make_job: MakeJob, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import Llama4Config, Llama4ForConditionalGeneration

    sizes: Any = DECODER | IDS | {"intermediate_size_mlp": 64, "num_local_experts": 2}
    config = Llama4Config(text_config=sizes, vision_config=IMAGES)
    save_whole(Llama4ForConditionalGeneration(config), tiny_tokenizer, tmp_path / "whole")
    job = make_job("llama", epochs=1).model_copy(update={"base": tmp_path / "whole"})
    train(job)
    events = [json.loads(line) for line in job.events.read_text().splitlines()]
    [told] = [event["text"] for event in events if event["event"] == "warning"]
    assert f"{tmp_path / 'whole'} (llama4) only the part" in told
    assert json.loads((job.output / "model/config.json").read_text())["model_type"] == "llama4_text"
    assert not [name for name in PROCESSOR if (job.output / "model" / name).exists()]


@pytest.mark.parametrize("changes", [{}, LORA])
def test_what_reads_images_stays_with_a_model_that_is_taken_whole(
    make_job: MakeJob, tiny_tokenizer: Any, tmp_path: Path, changes: dict[str, Any]
) -> None:
    from transformers import AutoModelForImageTextToText, Gemma3Config, Gemma3Model

    config: Any = Gemma3Config(text_config=DECODER | IDS, vision_config=IMAGES)
    whole = AutoModelForImageTextToText.from_config(config)
    save_whole(whole, tiny_tokenizer, tmp_path / "whole")
    job = make_job("llama", **changes, epochs=1).model_copy(update={"base": tmp_path / "whole"})
    train(job)
    made = AutoModelForImageTextToText.from_pretrained(job.output / "model").model
    assert isinstance(made, Gemma3Model) and made.vision_tower is not None
    for name, content in PROCESSOR.items():
        assert json.loads((job.output / "model" / name).read_text()) == content
    assert not (job.output / "model" / "chat_template.json").exists()


CHAT = (
    "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize("chat_template", ["auto", "none"])
def test_a_chat_model_keeps_its_template_or_loses_it_everywhere(
    make_job: MakeJob, base: Bases, tmp_path: Path, chat_template: Literal["auto", "none"]
) -> None:
    from tasks.scoring.generate import load_generator
    from tasks.training.encoding import encode_examples
    from tasks.training.model import load_tokenizer

    folder = tmp_path / "chat"
    shutil.copytree(base("llama"), folder)
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    job = make_job("llama").model_copy(update={"base": folder, "chat_template": chat_template})
    train(job)
    prompt = "Say the colour red again"
    expected = f"<user>{prompt}</s><assistant>" if chat_template == "auto" else f"{prompt}\n"
    tuned = load_generator(job.output / "model")
    before = load_generator(folder, chat_template=chat_template)
    for generator in (tuned, before):
        ids, _ = generator.encode(prompt, None)
        assert generator.tokenizer.decode(ids) == expected
    examples = encode_examples(job.train_file, tuned.tokenizer, False, job.train, job.tokens)
    assert len(list(job.tokens.iterdir())) == 2  # trained on just these ids, and on no others
    assert all(examples.completions[row][-1] == tokenizer.eos_token_id for row in range(9))


def test_targets_that_are_not_there_are_told(make_job: MakeJob) -> None:
    job = make_job("llama", method="lora", lora={"targets": ["q_prj"]})
    with pytest.raises(BadRecipe, match=r"train\.lora\.targets[\s\S]*q_prj"):
        train(job)


@pytest.mark.parametrize(
    ("architecture", "targets"),
    [("gpt2", ["c_attn", "lm_head"]), ("gpt2", ["c_attn", "wte"]), ("t5_tied", ["q", "shared"])],
)
def test_weights_that_two_layers_share_get_no_adapter(
    make_job: MakeJob, architecture: str, targets: list[str]
) -> None:
    job = make_job(architecture, method="lora", lora={"targets": targets})
    with pytest.raises(BadRecipe, match=rf"targets\n.*of their own\n.*{targets[1]}, whose weights"):
        train(job)


def test_an_output_layer_of_its_own_gets_one(make_job: MakeJob) -> None:
    summary, _ = train(make_job("llama", **LORA | {"lora": {"targets": ["q_proj", "lm_head"]}}))
    assert 0 <= summary["merge"]["logit_difference"] <= summary["merge"]["tolerance"]


def test_a_merge_that_changes_the_outputs_is_refused(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora.layer import Linear

    def off(self: Any, adapter: str) -> Any:
        return 1.01 * delta(self, adapter)

    delta = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", off)
    with pytest.raises(ArithmeticError, match="merged model differ"):
        train(make_job("llama", **LORA))


@pytest.mark.parametrize("bf16", [True, False])
def test_a_model_that_fails_in_bf16_may_train_in_fp32(make_job: MakeJob, bf16: bool) -> None:
    import torch

    from tasks.training.main import _run

    def fails() -> None:
        torch.zeros(2).index_add_(0, torch.tensor([0]), torch.ones(1, dtype=torch.bfloat16))

    progress, processes = SimpleNamespace(step=0), SimpleNamespace(size=1)
    trainer: Any = SimpleNamespace(run=fails, progress=progress, processes=processes, bf16=bf16)
    with pytest.raises(BadModel, match="another train.method") as raised:
        _run(trainer, make_job("llama"))
    assert ("set train.precision: fp32" in str(raised.value)) == bf16
