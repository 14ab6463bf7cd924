"""Packs a model version: the Hugging Face folder, its templates, its settings and its code.

    MLmodel  instruct_model.py  code/tasks/...  requirements.txt
    digests.json       relative path -> sha256 of every other file
    artifacts/model/   config.json  model.safetensors  tokenizer.json  README.md ...
    artifacts/retune/  generation.json  prompts/support_summary.json
    artifacts/adapter/ adapter_config.json  adapter_model.safetensors    (LoRA's, where used)

The code that renders and generates goes along, so a version can be served where Retune is not.
"""

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from tasks.data.base_model import needs_sentencepiece
from tasks.stage import digest_of_file, digests_of_files, write_json
from tasks.tracking.connection import connect, retry_while_down
from tasks.tracking.files import DIGESTS_FILE
from tasks.tracking.registry import FILES_TAG, KEY_TAG, has_files

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of MLflow about type hints of its own
    from mlflow.pyfunc import save_model

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = (
    "tasks/__init__.py",
    "tasks/errors.py",
    "tasks/config",
    "tasks/prompts",
    "tasks/data/__init__.py",
    "tasks/data/chat_template.py",
    "tasks/data/chats.py",
    "tasks/data/thoughts.py",
    "tasks/data/tokenizing.py",
    "tasks/data/tools.py",
    "tasks/data/turns.py",
    "tasks/training/__init__.py",
    "tasks/training/languages.py",
    "tasks/training/model.py",
    "tasks/training/precision.py",
    "tasks/scoring/__init__.py",
    "tasks/scoring/combining.py",
    "tasks/scoring/decode.py",
    "tasks/scoring/generate.py",
)
"""Modules that `instruct_model.py` needs at the place where it is loaded."""

PACKAGES = (
    *("mlflow", "torch", "transformers", "safetensors"),
    *("jinja2", "pydantic", "pyyaml", "ruamel.yaml"),
)
NAME = "instruct-model"
ARTIFACTS = ("model", "retune", "adapter")


@dataclass(frozen=True)
class Package:
    """What goes into a version.

    Attributes:
        model: Hugging Face folder.
        prompts: Folder with one JSON file for each task: the templates it was trained with.
        card: The model card, Markdown.
        generation: `max_new_tokens`, `max_prompt_tokens`, `temperature`, `top_p`, `seed`; and
            `trust_remote_code`, where the model is one that code in its folder makes.
        example: A record, or a ready instruction, for MLflow to show.
        adapter: Folder of the adapter that was merged into the model, where there is one.
    """

    model: Path
    prompts: Path
    card: str
    generation: Mapping[str, int | float]
    example: Mapping[str, str]
    adapter: Path | None = None


def log_package(package: Package, run_id: str, key: str, scratch: Path) -> str:
    """Log a version's files with MLflow, once.

    Args:
        package: The files.
        run_id: The run that made the model.
        key: What identifies the content; a logged model of the same key is taken again.
        scratch: Folder for the files on their way; removed in the end.

    Returns:
        Id of the logged model (`m-...`).
    """
    experiment_id = retry_while_down(lambda: connect().get_run(run_id)).info.experiment_id

    def logged() -> Any:
        client = connect()
        filtered = f"tags.`{KEY_TAG}` = '{key}'"
        found = client.search_logged_models([experiment_id], filtered, max_results=1)
        if found:
            return found[0]
        return client.create_logged_model(
            experiment_id, name=NAME, source_run_id=run_id, tags={KEY_TAG: key}
        )

    def is_whole() -> bool:
        return model.status == LoggedModelStatus.READY and has_files(f"models:/{model.model_id}")

    model = retry_while_down(logged)
    if retry_while_down(is_whole):
        return str(model.model_id)
    saved = save_package(package, scratch, model.model_id, run_id, model.artifact_location)

    def upload() -> None:
        client = connect()
        client.log_model_artifacts(model.model_id, str(saved))
        client.set_logged_model_tags(
            model.model_id, {FILES_TAG: digest_of_file(saved / DIGESTS_FILE)}
        )
        outputs = client.get_run(run_id).outputs
        linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
        if model.model_id not in linked:  # MLflow refuses to link twice
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    retry_while_down(upload)
    shutil.rmtree(scratch)
    return str(model.model_id)


def save_package(
    package: Package, scratch: Path, model_id: str, run_id: str, location: str
) -> Path:
    """Write a version's files into a folder.

    `mlflow.pyfunc.log_model` would do it too, but it also loads the model into this process to
    try its example, and starts anew when the server goes down.

    Returns:
        The folder, in MLflow's format.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    staged = scratch / "staged"
    _stage(package, staged)
    saved = scratch / "saved"
    save_model(
        str(saved),
        mlflow_model=Model(
            artifact_path=location, run_id=run_id, model_uuid=model_id, model_id=model_id
        ),
        python_model=str(Path(__file__).with_name("instruct_model.py")),
        artifacts={name: str(staged / name) for name in ARTIFACTS if (staged / name).exists()},
        code_paths=[str(staged / "tasks")],
        signature=signature(package),
        input_example=[dict(package.example)],
        pip_requirements=requirements(package.model),
    )
    for cache in list(saved.rglob("__pycache__")):
        shutil.rmtree(cache)
    write_json(saved / DIGESTS_FILE, digests_of_files(saved))
    return saved


def signature(package: Package) -> ModelSignature:
    """Records or ready instructions in, texts out; the sampling settings as params."""
    files = [json.loads(path.read_text("utf-8")) for path in sorted(package.prompts.glob("*.json"))]
    slots = dict.fromkeys(slot for content in files for slot in content["slots"])
    columns = dict.fromkeys([*slots, "task", "prompt"])
    settings = package.generation
    return ModelSignature(
        inputs=Schema([ColSpec("string", name, required=False) for name in columns]),
        outputs=Schema([ColSpec("string")]),
        params=ParamSchema(
            [
                ParamSpec("temperature", "double", float(settings["temperature"])),
                ParamSpec("top_p", "double", float(settings["top_p"])),
                ParamSpec("max_new_tokens", "long", int(settings["max_new_tokens"])),
                ParamSpec("seed", "long", int(settings["seed"])),
                ParamSpec("template", "string", ""),
            ]
        ),
    )


def requirements(model: Path) -> list[str]:
    """The packages that serving a model folder needs, at the versions that made it."""
    names = [*PACKAGES, "sentencepiece"] if needs_sentencepiece(model) else PACKAGES
    # A local part such as `+cpu` names a build that the package index does not have.
    return [f"{name}=={installed_version(name).partition('+')[0]}" for name in names]


def _stage(package: Package, staged: Path) -> None:
    shutil.copytree(package.model, staged / "model", copy_function=_link)
    if package.adapter:
        shutil.copytree(package.adapter, staged / "adapter", copy_function=_link)
    card = staged / "model" / "README.md"
    card.unlink(missing_ok=True)
    card.write_text(package.card, encoding="utf-8")
    shutil.copytree(package.prompts, staged / "retune" / "prompts")
    settings = json.dumps(dict(package.generation), indent=2)
    (staged / "retune" / "generation.json").write_text(settings + "\n", encoding="utf-8")
    for name in SHIPPED:
        source, target = REPOSITORY / name, staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def _link(source: str, target: str) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)  # the weights are copied often enough on their way
    except OSError:
        shutil.copy(source, target)
