"""What the training process does, from its job file to the model it writes."""

import csv
import shutil
import traceback
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, set_seed

from tasks.data.base_model import read_config
from tasks.data.mixing import Rehearsal, draws_per_epoch
from tasks.errors import BadModel, first_line
from tasks.launch import report, work
from tasks.processes import Processes
from tasks.stage import write_json
from tasks.training.adapters import (
    TOLERANCE,
    merge,
    name_base,
    num_parameters,
    quantization_of,
    with_adapters,
)
from tasks.training.batching import collate_for
from tasks.training.encoding import encode_examples
from tasks.training.examples import Examples, check_lengths, check_supervision
from tasks.training.job import TrainJob
from tasks.training.loop import Trainer
from tasks.training.memory import is_out_of_memory, no_room, peak_memory_bytes
from tasks.training.model import (
    check_causal,
    check_finite,
    fit,
    load_model,
    load_tokenizer,
    num_positions,
)
from tasks.training.processor import copy_processor
from tasks.training.progress import Progress

FAULTS = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What code raises that is not made for what it is given; the machine can cause a RuntimeError."""

OWN = Path(__file__).parents[1]
"""Where Retune's own code is, whose faults are no model's."""

MERGE_EXAMPLES = 8
"""Validation examples on which merged weights and adapter are compared."""


def main(job_file: str) -> int:
    """Train as the job says; the result lies in its output folder."""
    job = TrainJob.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    return work(partial(train, job), job.events)


def train(job: TrainJob) -> None:
    """Train, and write the results."""
    try:
        _train_together(job, Processes.join())
    except Exception as error:
        if is_out_of_memory(error):
            raise no_room("train", first_line(error)) from None
        raise


def _train_together(job: TrainJob, processes: Processes) -> None:
    set_seed(job.train.seed)
    tokenizer = load_tokenizer(job.base, job.chat_template, job.trust_remote_code)
    quantization = quantization_of(job.train)
    base = load_model(
        job.base, job.from_scratch, job.allow_pickle, quantization, job.trust_remote_code
    )
    if processes.is_first:
        _tell_what_is_left_out(job, base)
    fit(base, tokenizer, job.base)
    check_finite(base, job.base)
    check_causal(base, job.base)
    model = with_adapters(base, job.train)
    is_encoder_decoder = bool(model.config.is_encoder_decoder)
    with processes.first_one_first():
        writes = processes.is_first
        examples = _encoded(job, job.train_file, tokenizer, model, writes)
        check_supervision(examples, tokenizer, is_encoder_decoder, "train")
        validation = _encoded(job, job.validation_file, tokenizer, model, writes)
        check_supervision(validation, tokenizer, is_encoder_decoder, "validation")
        for side in (examples, validation):
            most = job.train.max_completion_tokens
            check_lengths(side, *num_positions(base), is_encoder_decoder, most)
    draws = draws_per_epoch(Counter(examples.tasks.tolist()), job.mixture, job.rehearsal)
    trainer = Trainer(
        model, tokenizer, examples, validation, draws, job.train, job.scratch, job.events
    )
    counts = _counts(model, examples, trainer, job.rehearsal)
    if processes.is_first:
        report(job.events, "start", **counts)
        for name, encoded in (("train", examples), ("validation", validation)):
            if encoded.remark:
                report(job.events, "warning", text=f"on the side {name}, {encoded.remark}")
    progress, best = _run(trainer, job), trainer.best_weights
    counts = _counts(model, examples, trainer, job.rehearsal)  # a checkpoint can differ
    del trainer, base, model  # merging an adapter takes the base model once more
    if processes.is_first:
        counts |= _write_model(job, best, tokenizer, validation)
        copy_processor(job.base, job.output / "model")
        _write(job, progress, counts)
        report(job.events, "done", best_epoch=progress.best_epoch)


def _run(trainer: Trainer, job: TrainJob) -> Progress:
    """Train.

    Raises:
        BadModel: The model's code fails in a step, as it would again. Of several processes, one
            also fails because another one has ended.
    """
    try:
        return trainer.run()
    except FAULTS as error:
        step, may_pass = trainer.progress.step, isinstance(error, RuntimeError)
        if trainer.processes.size > 1 or (may_pass and step) or is_out_of_memory(error):
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        if Path(frame.filename).is_relative_to(OWN):
            raise
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        found = f"{type(error).__name__} in step {step + 1} ({place}): {first_line(error)}"
        expected, mend = "a model that can be trained", "take another one, or another train.method"
        if trainer.bf16:  # under autocast some code adds what is bf16 to what is not (DBRX)
            mend = f"set train.precision: fp32, {mend}"
        raise BadModel(str(job.base), expected, found, mend) from error


def _tell_what_is_left_out(job: TrainJob, base: PreTrainedModel) -> None:
    whole, part = read_config(job.base).get("model_type"), base.config.model_type
    if whole != part:
        text = (
            f"of {job.base} ({whole}) only the part that reads and writes text ({part}) is loaded: "
            "what is trained, tested and registered reads no images and no sound"
        )
        report(job.events, "warning", text=text)


def _encoded(
    job: TrainJob, path: Path, tokenizer: Any, model: PreTrainedModel, writes: bool
) -> Examples:
    is_encoder_decoder = bool(model.config.is_encoder_decoder)
    return encode_examples(
        path, tokenizer, is_encoder_decoder, job.train, job.tokens, writes, job.events
    )


def _counts(
    model: PreTrainedModel, examples: Examples, trainer: Trainer, rehearsal: Rehearsal | None
) -> dict[str, Any]:
    trainable, parameters = num_parameters(model)
    return {
        "method": trainer.train.method,
        "parameters": parameters,
        "trainable_parameters": trainable,
        "learning_rate": trainer.peak_rate,
        "examples": len(examples),
        "too_long": examples.num_too_long,
        "dropped_too_long": examples.num_dropped,
        "joined_answers": examples.num_joined,
        "special_tokens_in_text": examples.num_special,
        "supervised_tokens": int(examples.supervised.sum()),
        "mixture": _mixture(examples, trainer.draws, rehearsal),
        "planned_steps": trainer.num_steps,
        "precision": "bf16" if trainer.bf16 else "fp32",
        "device": str(trainer.device),
        "processes": trainer.processes.size,
        "packed": trainer.packs,
    }


def _mixture(
    examples: Examples, draws: Mapping[str, int], rehearsal: Rehearsal | None
) -> dict[str, Any]:
    """What each task brings to an epoch."""
    rows = Counter(examples.tasks.tolist())
    return {
        task: {
            "rows": rows[task],
            "draws": drawn,
            "share": round(drawn / sum(draws.values()), 4),
            "passes": round(drawn / rows[task], 3),
            "replay": rehearsal is not None and task in rehearsal.tasks,
        }
        for task, drawn in draws.items()
    }


def _write_model(job: TrainJob, best: Path, tokenizer: Any, validation: Examples) -> dict[str, Any]:
    """Write the model folder, and the adapter beside it; returns what there is to report."""
    tokenizer.save_pretrained(job.output / "model")
    if job.train.method == "full":
        shutil.copytree(best, job.output / "model", dirs_exist_ok=True)
        return {}
    adapter = job.output / "adapter"
    shutil.copytree(best, adapter)
    name_base(adapter, job.base_name, job.base_revision)
    base = load_model(
        job.base, allow_pickle=job.allow_pickle, trust_remote_code=job.trust_remote_code
    )
    fit(base, tokenizer, job.base)
    rows = range(min(MERGE_EXAMPLES, len(validation)))
    batch = collate_for(base, tokenizer, rows, validation)
    merged, difference = merge(base, adapter, batch)
    merged.save_pretrained(job.output / "model")
    return {"merge": {"logit_difference": float(f"{difference:.1e}"), "tolerance": TOLERANCE}}


def _write(job: TrainJob, progress: Progress, counts: dict[str, Any]) -> None:
    with (job.output / "epochs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(progress.epochs[0]))
        writer.writeheader()
        writer.writerows(progress.epochs)
    summary = {
        **counts,
        "best_epoch": progress.best_epoch,
        "best_validation_loss": round(progress.best_loss, 6),
        "steps": progress.step,
        "tokens": progress.tokens,
        "padding": round(1 - progress.tokens / progress.padded, 4),
    }
    if job.trust_remote_code:
        summary["trust_remote_code"] = True  # of the model as well, which has the same code
    write_json(job.output / "summary.json", summary)
    speed = {
        "seconds": round(progress.seconds, 3),
        "tokens_per_s": round(progress.tokens / progress.seconds, 1),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    write_json(job.output / "speed.json", speed)
