"""Weight interpolation, `(1 - alpha) * base + alpha * tuned` (WiSE-FT, arXiv 2109.01903).

interpolated({"w": 0.0}, {"w": 1.0}, 0.4)  ->  {"w": 0.4}

`torchrun -m tasks.training.interpolate JOB.json` writes a model folder in a process of its own:

{"base": "models/pocket-flan", "tuned": ".../training/model", "alpha": 0.4, "output": ...}
"""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from tasks.ending import run_and_end
from tasks.errors import BadModel
from tasks.launch import work
from tasks.training.adapters import scale_adapter
from tasks.training.model import load_model, load_tokenizer
from tasks.training.processor import copy_processor

Weights = Mapping[str, torch.Tensor]


class InterpolationJob(BaseModel):
    """One model to make of two.

    Attributes:
        base: Base model folder.
        allow_pickle: Accept its weights as a pickle.
        trust_remote_code: Run code of both folders.
        tuned: Folder of the model that was fine-tuned from it.
        adapter: Folder of the adapter that was merged into `tuned`, where there is one.
        alpha: Share of the tuned weights, from 0 to 1.
        output: Folder that gets `model/`, and `adapter/` where there is one.
        events: File that events are appended to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Path
    allow_pickle: bool
    trust_remote_code: bool = False
    tuned: Path
    adapter: Path | None
    alpha: float
    output: Path
    events: Path


def interpolated(base: Weights, tuned: Weights, alpha: float) -> dict[str, torch.Tensor]:
    """`(1 - alpha) * base + alpha * tuned`, weight by weight.

    Args:
        base: Name -> weight of the base model.
        tuned: Of the tuned model: the same names and shapes.
        alpha: From 0, the base model, to 1, the tuned one.

    Returns:
        New tensors, in the precision of `tuned`; what is no number with a fraction is that of
        `tuned`.

    Raises:
        BadModel: The models are not of one kind.
    """
    unlike = [
        name
        for name in sorted(base.keys() | tuned.keys())
        if name not in base or name not in tuned or base[name].shape != tuned[name].shape
    ]
    if unlike:
        expected = "a tuned model with the weights of its base model"
        found = f"{len(unlike)} weights that one lacks or has in another shape, such as {unlike[0]}"
        raise BadModel("interpolation", expected, found)
    return {
        name: torch.lerp(base[name].to(weight), weight, alpha)
        if weight.is_floating_point()
        else weight.clone()
        for name, weight in tuned.items()
    }


def blend(model: torch.nn.Module, base: torch.nn.Module, alpha: float) -> None:
    """Move a tuned model towards its base model, in place.

    Args:
        model: The tuned model.
        base: The base model.
        alpha: Share of the tuned weights that is left, from 0 to 1.
    """
    model.load_state_dict(interpolated(base.state_dict(), model.state_dict(), alpha))


def main(job_file: str) -> int:
    """Make the model that the job describes."""
    job = InterpolationJob.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    return work(partial(write, job), job.events)


def write(job: InterpolationJob) -> None:
    """Write the interpolated model folder, and its adapter."""
    trust = job.trust_remote_code
    model = load_model(job.tuned, trust_remote_code=trust)
    base = load_model(job.base, allow_pickle=job.allow_pickle, trust_remote_code=trust)
    blend(model, base, job.alpha)
    model.save_pretrained(job.output / "model")
    load_tokenizer(job.tuned, trust_remote_code=trust).save_pretrained(job.output / "model")
    copy_processor(job.tuned, job.output / "model")
    if job.adapter:
        shutil.copytree(job.adapter, job.output / "adapter")
        scale_adapter(job.output / "adapter", job.alpha)


if __name__ == "__main__":
    run_and_end(main)
