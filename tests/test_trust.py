"""Code in a model's folder: run where a recipe trusts it and pins it, and nowhere else."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from tasks.config import BaseModelSection, Generation
from tasks.data.base_model import folder_of
from tasks.errors import BadModel
from tasks.scoring.job import base_way, tuned_way
from tasks.stage import digest_of_folder, read_json
from tests.conftest import WritePairs
from tests.training.conftest import TRAIN

CONFIGURATION = """\
with open(RAN, "a") as file:
    file.write("run ")
from transformers import T5Config

class EchoConfig(T5Config):
    model_type = "echo"
"""
MODELING = """\
from transformers import T5ForConditionalGeneration
from .configuration_echo import EchoConfig

class EchoModel(T5ForConditionalGeneration):
    config_class = EchoConfig
"""
CLASSES = {
    "AutoConfig": "configuration_echo.EchoConfig",
    "AutoModelForSeq2SeqLM": "modeling_echo.EchoModel",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Base:
    """A model that code in its folder makes.

    Attributes:
        folder: Its folder.
        ran: A file that is there once the code was run.
    """

    folder: Path
    ran: Path

    @property
    def trusted(self) -> BaseModelSection:
        digest = digest_of_folder(self.folder)
        return BaseModelSection(path=str(self.folder), revision=digest, trust_remote_code=True)


@pytest.fixture
def base(tmp_path: Path, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Base:
    from tests.conftest import save_tiny_t5

    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code"))
    modules = str(tmp_path / "modules")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", modules)
    base = Base(save_tiny_t5(tmp_path / "base", tiny_tokenizer), tmp_path / "ran")
    code = CONFIGURATION.replace("RAN", repr(str(base.ran)))
    (base.folder / "configuration_echo.py").write_text(code)
    (base.folder / "modeling_echo.py").write_text(MODELING)
    config = read_json(base.folder / "config.json") | {"model_type": "echo", "auto_map": CLASSES}
    (base.folder / "config.json").write_text(json.dumps(config))
    return base


def test_code_needs_a_pin() -> None:
    for told in (
        {"path": "models/a"},
        {"path": "models/a", "revision": COMMIT},
        {"hub": "company/a", "revision": "main"},
        {"hub": "company/a", "revision": COMMIT, "start_from": "models/b"},
    ):
        with pytest.raises(ValidationError, match="expected"):
            BaseModelSection(**told, trust_remote_code=True)  # type: ignore[arg-type]
    assert BaseModelSection(hub="company/a", revision=COMMIT, trust_remote_code=True)


def test_other_code_than_the_pinned_is_refused(base: Base) -> None:
    section = base.trusted
    assert folder_of(section) == base.folder
    with (base.folder / "modeling_echo.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(BadModel, match=digest_of_folder(base.folder)):
        folder_of(section)
    elsewhere = read_json(base.folder / "config.json")
    elsewhere["auto_map"] = {"AutoConfig": "others/code--configuration_echo.EchoConfig"}
    (base.folder / "config.json").write_text(json.dumps(elsewhere))
    with pytest.raises(BadModel, match="code of the folder itself"):
        folder_of(base.trusted)
    assert not base.ran.exists()


def test_the_field_leaves_old_keys_as_they_were(base: Base) -> None:
    from tasks.config.base_model import KeyedBaseModel, Section

    class Stage(Section):
        base_model: KeyedBaseModel

    untrusting = BaseModelSection(path="a")
    assert "trust_remote_code" not in Stage(base_model=untrusting).model_dump()["base_model"]
    assert Stage(base_model=base.trusted).model_dump()["base_model"]["trust_remote_code"]


def train(base: Base, folder: Path, write_pairs: WritePairs, trust: bool) -> Path:
    """Train as the training process does; returns the artifact."""
    from tasks.training.job import TrainJob
    from tasks.training.main import train

    for part in ("output", "scratch"):
        (folder / part).mkdir(parents=True)
    content = {
        "base": str(base.folder), "base_name": "echo", "base_revision": None,
        "from_scratch": False, "allow_pickle": False, "trust_remote_code": trust,
        "train_file": str(write_pairs(folder / "train.parquet", 60)),
        "validation_file": str(write_pairs(folder / "validation.parquet", 16)),
        "train": TRAIN | {"epochs": 1}, "mixture": {},
        **{name: str(folder / name) for name in ("output", "scratch", "tokens", "events")},
    }  # fmt: skip
    train(TrainJob.model_validate_json(json.dumps(content)))
    return folder / "output"


def test_trusted_code_is_run_from_training_to_serving(
    base: Base, write_pairs: WritePairs, tmp_path: Path
) -> None:
    from tasks.config import Train
    from tasks.scoring.generate import complete, load_generator
    from tasks.training.footprint import states
    from tasks.training.interpolate import InterpolationJob, write

    def answers(folder: Path, trust: bool) -> list[str]:
        generator = load_generator(folder, trust_remote_code=trust)
        found = complete(generator, ["Say red"], Generation(max_new_tokens=4), 64)
        return [completion.text for completion in found]

    for untrusting in (
        lambda: train(base, tmp_path / "0", write_pairs, False),
        lambda: answers(base.folder, False),
    ):
        refused(untrusting, base)
    assert states(base.folder, Train(), True).parameters > 0
    assert base_way(base.trusted).trust_remote_code
    trained = train(base, tmp_path / "1", write_pairs, True)
    assert tuned_way(trained).trust_remote_code
    base.ran.unlink()
    refused(lambda: answers(trained / "model", False), base)
    tested = answers(trained / "model", True)
    assert base.ran.exists()
    half = InterpolationJob(
        base=base.folder, allow_pickle=False, trust_remote_code=True, tuned=trained / "model",
        adapter=None, alpha=0.5, output=tmp_path / "half", events=tmp_path / "events",
    )  # fmt: skip
    write(half)
    assert answers(tmp_path / "half" / "model", True)
    assert served(trained / "model", base.trusted, tmp_path) == tested
    base.ran.unlink()
    refused(lambda: served(trained / "model", BaseModelSection(path="a"), tmp_path), base)


def refused(call: Callable[[], object], base: Base) -> None:
    with pytest.raises(BadModel):
        call()
    assert not base.ran.exists()


def served(model: Path, section: BaseModelSection, tmp_path: Path) -> Any:
    """What a version answers that a recipe with this section registers."""
    import mlflow

    from tasks.register import _generation
    from tasks.tracking.package import Package, save_package
    from tests.registering import recipe

    (tmp_path / "prompts").mkdir(exist_ok=True)
    asked = recipe(base_model=section.model_dump(mode="json"), generation={"max_new_tokens": 4})
    package = Package(model, tmp_path / "prompts", "card", _generation(asked), {"prompt": "a"})
    saved = save_package(package, tmp_path / "scratch", "m-1", "r", "here")
    return mlflow.pyfunc.load_model(str(saved)).predict(pd.DataFrame([{"prompt": "Say red"}]))
