"""The training loop: epochs of batches, validation after each, resumable at any checkpoint.

step 120/210  epoch 2  loss 1.92  lr 3.1e-04  8,120 tokens/s
"""

import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from tasks.config import Train
from tasks.config.train import CPU_MICRO_BATCH_TOKENS
from tasks.errors import BadInput
from tasks.launch import report
from tasks.training.batching import IGNORED, Batch, batch_rows, collate, epoch_rows
from tasks.training.checkpoints import (
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from tasks.training.examples import Examples
from tasks.training.optimizer import learning_rate, make_optimizer
from tasks.training.precision import autocast, compiled, pick_device, uses_bf16
from tasks.training.progress import Progress, random_state, set_random_state

REPORTS_PER_RUN = 200

Rows = np.ndarray[Any, np.dtype[np.int64]]
"""Numbers of examples, shape (examples,)."""


class Trainer:
    """Trains one model on one set of examples."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        examples: Examples,
        validation: Examples,
        draws: dict[str, int],
        train: Train,
        scratch: Path,
        events: Path,
    ) -> None:
        """Set the stage; nothing is trained yet.

        Args:
            model: The model, its weights in fp32; trained in place.
            tokenizer: Its tokenizer.
            examples: Pairs to learn from.
            validation: Pairs that choose the best checkpoint.
            draws: Task -> examples an epoch draws of it.
            train: The recipe's section.
            scratch: Folder for checkpoints and the best weights so far.
            events: File that progress is reported to.
        """
        self.device = pick_device()
        self.model = model.to(self.device)  # type: ignore[arg-type]
        self.tokenizer = tokenizer
        self.examples = examples
        self.validation = validation
        self.draws = draws
        self.train = train
        self.scratch = scratch
        self.events = events
        self.bf16 = uses_bf16(train.precision, self.device)
        self.compiled = compiled(self.model, self.device) if train.compile else None
        self.optimizer = make_optimizer(self.model, train)
        self.progress = Progress()
        self.best = ""
        self.micro_tokens = self._micro_tokens()
        self.num_steps = sum(len(self._steps(epoch)) for epoch in range(train.epochs))
        self.report_every = max(1, self.num_steps // REPORTS_PER_RUN)

    def run(self) -> Progress:
        """Train until the last epoch, or until validation stops getting better.

        Returns:
            The final progress; the best weights lie in `best_weights`.

        Raises:
            BadInput: The loss is not finite.
        """
        self._resume()
        while self.progress.epoch < self.train.epochs and not self._is_out_of_patience():
            self._epoch()
        return self.progress

    @property
    def best_weights(self) -> Path:
        """Folder of the weights with the lowest validation loss so far."""
        return self.scratch / self.best

    def _micro_tokens(self) -> int:
        on_gpu = self.device.type == "cuda"
        by_hardware = self.train.batch_tokens if on_gpu else CPU_MICRO_BATCH_TOKENS
        return min(self.train.batch_tokens, self.train.micro_batch_tokens or by_hardware)

    def _steps(self, epoch: int) -> list[list[Rows]]:
        """The optimizer steps of an epoch, each made of micro-batches."""
        train = self.train
        rows = epoch_rows(self.examples, self.draws, train.seed, epoch)
        micro_batches = batch_rows(rows, self.examples, self.micro_tokens, train.seed + epoch)
        size = max(1, train.batch_tokens // self.micro_tokens)
        return [micro_batches[at : at + size] for at in range(0, len(micro_batches), size)]

    def _epoch(self) -> None:
        progress = self.progress
        self.model.train()
        last_saved = last_reported = time.monotonic()
        tokens_reported = progress.tokens
        steps = self._steps(progress.epoch)
        for micro_batches in steps[progress.epoch_step :]:
            started = time.monotonic()
            loss = self._step(micro_batches)
            progress.epoch_step += 1
            progress.seconds += time.monotonic() - started
            now = time.monotonic()
            if progress.step % self.report_every == 0 or progress.step == self.num_steps:
                rate = (progress.tokens - tokens_reported) / (now - last_reported)
                self._report_step(loss, rate)
                last_reported, tokens_reported = now, progress.tokens
            is_due = now - last_saved > self.train.checkpoint_minutes * 60
            if is_due and progress.epoch_step < len(steps):
                self._save()
                last_saved = now
        self._finish_epoch()

    def _step(self, micro_batches: list[Rows]) -> float:
        """One optimizer step; returns its loss in nats per supervised token.

        The loss is normalised by the supervised tokens of the whole step, so that it does not
        depend on how the step was cut into micro-batches.
        """
        progress = self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(progress.step, self.num_steps, self.train)
        lengths = self.examples.completions.lengths
        num_supervised = int(sum(lengths[rows].sum() for rows in micro_batches))
        step_loss = 0.0
        for rows in micro_batches:
            batch = self._collate(rows, self.examples)
            loss_sum = cross_entropy(self._logits(batch), self._labels(batch), reduction="sum")
            (loss_sum / num_supervised).backward()  # type: ignore[no-untyped-call]
            step_loss += loss_sum.item()
            progress.tokens += batch.num_tokens
            progress.padded += batch.num_padded
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train.max_grad_norm)
        if not torch.isfinite(norm):
            raise self._diverged(np.concatenate(micro_batches))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        progress.loss_sum += step_loss
        progress.loss_tokens += num_supervised
        return step_loss / num_supervised

    def _finish_epoch(self) -> None:
        progress = self.progress
        started = time.monotonic()
        loss, accuracy = self.validate()
        progress.seconds += time.monotonic() - started
        progress.epoch += 1
        entry = {
            "epoch": progress.epoch,
            "step": progress.step,
            "train_loss": round(progress.loss_sum / progress.loss_tokens, 6),
            "validation_loss": round(loss, 6),
            "validation_token_accuracy": round(accuracy, 6),
        }
        progress.epochs.append(entry)
        if loss < progress.best_loss:
            progress.best_epoch, progress.best_loss = progress.epoch, loss
            self.best = save_best(self.scratch, progress.epoch, self.model.save_pretrained)
        progress.epoch_step, progress.loss_sum, progress.loss_tokens = 0, 0.0, 0
        self._save()
        report(self.events, "epoch", **entry, epochs=self.train.epochs)

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Loss and accuracy on the validation side, with the reference as the decoder's input.

        Returns:
            Cross-entropy in nats per supervised token, and the share of supervised tokens that
            are the likeliest prediction, in [0, 1].
        """
        self.model.eval()
        loss_sum, num_right, num_tokens = 0.0, 0, 0
        rows = np.arange(len(self.validation))
        for batch_of in batch_rows(rows, self.validation, 2 * self.micro_tokens, 0):
            batch = self._collate(batch_of, self.validation)
            logits, labels = self._logits(batch), self._labels(batch)
            loss_sum += float(cross_entropy(logits, labels, reduction="sum"))
            num_right += int((logits.argmax(-1) == labels).sum())
            num_tokens += batch.num_supervised
        return loss_sum / num_tokens, num_right / num_tokens

    def _logits(self, batch: Batch) -> torch.Tensor:
        """Logits of the supervised positions, in fp32, shape (supervised, vocabulary)."""
        inputs = {name: tensor.to(self.device) for name, tensor in batch.inputs.items()}
        # Validation is too short a part of a run to compile the model without dropout for it.
        forward = self.compiled if self.compiled and self.model.training else self.model
        with autocast(self.bf16, self.device):
            logits: torch.Tensor = forward(**inputs, use_cache=False).logits
        return logits[batch.labels.to(self.device) != IGNORED].float()

    def _labels(self, batch: Batch) -> torch.Tensor:
        """Next token of each supervised position, shape (supervised,)."""
        return batch.labels[batch.labels != IGNORED].to(self.device)

    def _collate(self, rows: Rows, examples: Examples) -> Batch:
        config = self.model.config
        start = getattr(config, "decoder_start_token_id", None)
        return collate(
            rows,
            examples,
            bool(config.is_encoder_decoder),
            int(self.tokenizer.pad_token_id),
            start if start is not None else self.tokenizer.pad_token_id,
        )

    def _is_out_of_patience(self) -> bool:
        progress = self.progress
        return progress.epoch - progress.best_epoch >= self.train.patience and progress.epoch > 0

    def _diverged(self, rows: Rows) -> BadInput:
        ids = ", ".join(self.examples.ids[row] for row in rows[:5])
        return BadInput(
            f"train: step {self.progress.step + 1}, epoch {self.progress.epoch + 1}",
            "a finite loss and gradient",
            f"NaN or infinity, in a batch with the records {ids}",
            "lower train.learning_rate, or look at these records",
        )

    def _report_step(self, loss: float, tokens_per_s: float) -> None:
        progress = self.progress
        report(
            self.events,
            "step",
            step=progress.step,
            steps=self.num_steps,
            epoch=progress.epoch + 1,
            loss=round(loss, 6),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens_per_s=round(tokens_per_s, 1),
            seconds=round(progress.seconds, 3),
        )

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "best": self.best,
            "random": random_state(),
        }
        save_checkpoint(self.scratch, self.progress.step, state)

    def _resume(self) -> None:
        state = load_checkpoint(self.scratch, self._warn)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self.best = state["best"]
        set_random_state(state["random"])
        report(self.events, "resumed", step=self.progress.step, steps=self.num_steps)

    def _warn(self, text: str) -> None:
        report(self.events, "warning", text=text)


def peak_memory_bytes() -> int:
    """Most memory this process has held: of the GPU where it uses one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
