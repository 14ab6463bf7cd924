"""The training loop: epochs of batches, validation after each, resumable at any checkpoint.

Trainer(model, tokenizer, examples, validation, draws, train, scratch, events).run()
-> Progress(epoch=3, step=210, best_epoch=2, best_loss=1.92, ...)
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, set_seed

from tasks.config import Train
from tasks.errors import BadInput, first_line
from tasks.launch import report
from tasks.processes import Processes
from tasks.training.adapters import num_parameters, save_trained
from tasks.training.attention import attention
from tasks.training.batching import Batch, Rows, batch_rows, collate_for, epoch_rows, plan_steps
from tasks.training.checkpoints import read_checkpoint, save_best, save_checkpoint, whole_checkpoint
from tasks.training.cost import micro_batch_tokens, validation_tokens
from tasks.training.divergence import diverged, has_exploded
from tasks.training.examples import Examples
from tasks.training.memory import free_memory, halved, is_out_of_memory, recompute_activations
from tasks.training.optimizer import learning_rate, make_optimizer
from tasks.training.packing import can_pack, wants_packing
from tasks.training.parts import note_parts, noted_parts
from tasks.training.precision import (
    autocast,
    compile_blocks,
    not_compiled,
    pick_device,
    products,
    uses_bf16,
)
from tasks.training.processes import (
    distribute,
    gradients_stay,
    set_state,
    share_of,
    state_of,
    whole_weights,
)
from tasks.training.progress import Progress, random_state, set_random_state
from tasks.training.reports import StepReports
from tasks.training.supervised import predicted, values


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
        self.processes = Processes.join()
        self.is_sharded = self.processes.size > 1 and train.launch.accelerate == "fsdp"
        # Where no device holds the whole, each moves there block after block, as it is sharded.
        self.model = model if self.is_sharded else model.to(self.device)  # type: ignore[arg-type]
        self.tokenizer = tokenizer
        self.examples = examples
        self.validation = validation
        self.draws = draws
        self.train = train
        self.peak_rate = train.peak_learning_rate(num_parameters(model)[1])
        self.scratch = scratch
        self.events = events
        # Measured, so that it could come out otherwise in another process.
        self.bf16 = self.processes.from_first(uses_bf16(train.precision, self.device))
        on_gpu = self.device.type == "cuda"
        self.packs = wants_packing(train, on_gpu) and can_pack(self.model)
        if train.gradient_checkpointing:
            recompute_activations(self.model)
        if train.compile:
            compile_blocks(self.model, self.device)
        self.forward = distribute(
            self.model, self.processes, train.launch.accelerate, self.bf16 and on_gpu
        )
        self.head = self.model.get_output_embeddings()
        self.vocab_size = model.config.get_text_config(decoder=True).vocab_size
        self.optimizer = make_optimizer(self.model, train)
        self.progress = Progress()
        self.saved_at, self.is_checkpoint_due = time.monotonic(), False
        self.best = ""
        self.micro_tokens = micro_batch_tokens(train, on_gpu)
        self.num_steps = self._planned_steps()
        if not self.processes.is_first:
            set_seed(train.seed + self.processes.rank)  # dropout of its own

    def run(self) -> Progress:
        """Train until the last epoch, or until validation stops getting better.

        Returns:
            The final progress; the best weights lie in `best_weights`.

        Raises:
            BadInput: The loss is not finite or has exploded, or memory does not hold one example.
        """
        self._resume()
        reports = StepReports(self._report, self.num_steps)
        while self.progress.step < self.num_steps and not self._is_out_of_patience():
            self._epoch(reports)
        return self.progress

    @property
    def best_weights(self) -> Path:
        """Folder of the weights with the lowest validation loss so far."""
        return self.scratch / self.best

    def _steps(self, epoch: int) -> list[list[Rows]]:
        """The optimizer steps of an epoch, each made of micro-batches."""
        seed = self.train.seed
        rows = epoch_rows(self.examples, self.draws, seed, epoch)
        return plan_steps(
            rows, self.examples, self.train, self.micro_tokens, self.packs, seed + epoch
        )

    def _planned_steps(self) -> int:
        """Steps of all epochs, or as many as are allowed."""
        total, limit = 0, self.train.max_steps
        for epoch in range(self.train.epochs):
            total += len(self._steps(epoch))
            if limit and total >= limit:
                return limit
        return total

    def _epoch(self, reports: StepReports) -> None:
        progress = self.progress
        self.model.train()
        self.saved_at = time.monotonic()
        reports.begin(progress)
        left = self.num_steps - progress.step
        steps = self._steps(progress.epoch)[: progress.epoch_step + left]
        for micro_batches in steps[progress.epoch_step :]:
            started = time.monotonic()
            loss = self._step(micro_batches)
            progress.epoch_step += 1
            progress.seconds += time.monotonic() - started
            reports.done(progress, loss, self.optimizer.param_groups[0]["lr"])
            if self.is_checkpoint_due and progress.epoch_step < len(steps):
                self._save()
                self.saved_at = time.monotonic()  # else a long one would be due again at once
        self._finish_epoch()

    def _step(self, micro_batches: list[Rows]) -> float:
        """One optimizer step; returns its loss in nats per supervised token.

        The loss is normalised by the supervised tokens of the whole step, so that it does not
        depend on how the step was cut into micro-batches.
        """
        progress = self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(progress.step, self.num_steps, self.peak_rate, self.train)
        num_supervised = int(sum(self.examples.supervised[rows].sum() for rows in micro_batches))
        attempt = partial(self._gradients, micro_batches, num_supervised)
        with products(self.bf16, self.device), attention(self.device):
            own = self._within_memory(attempt, micro_batches)
        # The first one's clock counts: all save together, or would wait for each other forever.
        is_due = time.monotonic() - self.saved_at > self.train.checkpoint_minutes * 60
        own.append(is_due and self.processes.is_first)
        loss_sum, tokens, padded, due = self.processes.sums(own, self.device)
        self.is_checkpoint_due = bool(due)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train.max_grad_norm)
        loss = loss_sum / num_supervised
        progress.first_loss = progress.first_loss or loss
        if not torch.isfinite(norm) or has_exploded(loss, progress.first_loss, self.vocab_size):
            every = np.concatenate(micro_batches)
            raise self._diverged(every, self.examples, f"a loss of {loss:.4g}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        progress.tokens += round(tokens)
        progress.padded += round(padded)
        progress.loss_sum += loss_sum
        progress.loss_tokens += num_supervised
        return loss

    def _gradients(self, micro_batches: list[Rows], num_supervised: int) -> list[float]:
        """Gradients of this process's share of a step.

        Returns:
            Its loss, summed, and its tokens without and with padding.
        """
        losses, counted, tokens, padded = [], [], 0, 0
        shares = share_of(self.processes, self._pieces(micro_batches))
        for number, (rows, counts) in enumerate(shares):
            batch = self._collate(rows, self.examples)
            with gradients_stay(self.forward, is_last=number == len(shares) - 1):
                loss_sum = cross_entropy(*self._predicted(batch), reduction="sum")
                # The average over processes of what each has is what all have together.
                part = loss_sum * (self.processes.size * counts) / num_supervised
                part.backward()  # type: ignore[no-untyped-call]
            if counts:
                losses.append(loss_sum.detach())
                counted.append(rows)
                tokens += batch.num_tokens
                padded += batch.num_padded
        return [self._summed(losses, counted, self.examples), tokens, padded]

    def _summed(self, losses: list[torch.Tensor], batches: list[Rows], examples: Examples) -> float:
        """The sum of the losses of some micro-batches, which must all be finite."""
        found = values(losses)
        for rows, loss in zip(batches, found, strict=True):
            if not math.isfinite(loss):
                raise self._diverged(rows, examples, "a loss that is NaN or infinite")
        return sum(found)

    def _within_memory(self, do: Callable[[], list[float]], batches: list[Rows]) -> list[float]:
        """Do it, with halved micro-batches as long as memory runs out.

        Of several processes, the one that runs out ends all, and the next attempt halves them.

        Raises:
            BadInput: It runs out with single examples.
            RuntimeError: It runs out in one of several processes.
        """
        while True:
            try:
                return do()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                found = first_line(error)
            # Not before here: the error held on to the tensors.
            largest = max(map(len, batches))
            self.progress.parts, told = halved(self.progress.parts, largest, self._where, found)
            report(self.events, "warning", text=told)  # whichever process this is
            note_parts(self.scratch, self.progress.parts, self.processes.rank)
            if self.processes.size > 1:  # the others wait for what will not come
                raise RuntimeError(told)
            self.optimizer.zero_grad(set_to_none=True)
            free_memory()

    def _pieces(self, batches: Sequence[Rows]) -> list[Rows]:
        """Micro-batches cut into the parts that memory holds."""
        parts = self.progress.parts
        return [part for rows in batches for part in np.array_split(rows, parts) if len(part)]

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
            self._save_best()
        progress.epoch_step, progress.loss_sum, progress.loss_tokens = 0, 0.0, 0
        self._save()
        self._report("epoch", **entry)

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Loss and accuracy on the validation side, with the reference as the decoder's input.

        Returns:
            Cross-entropy in nats per supervised token, and the share of supervised tokens that
            are the likeliest prediction, in [0, 1].
        """
        self.model.eval()
        rows = np.arange(len(self.validation))
        tokens = validation_tokens(self.train, self.device.type == "cuda", self.packs)
        batches = batch_rows(rows, self.validation, tokens, 0)
        # Too short a part of a run to compile the model without dropout for it.
        with (
            not_compiled(self.train.compile),
            products(self.bf16, self.device),
            attention(self.device),
        ):
            own = self._within_memory(partial(self._evaluate, batches), batches)
        loss_sum, num_right, num_tokens = self.processes.sums(own, self.device)
        return loss_sum / num_tokens, num_right / num_tokens

    def _evaluate(self, batches: list[Rows]) -> list[float]:
        """Loss, right predictions and supervised tokens of this process's share."""
        losses, right, counted, num_tokens = [], [], [], 0
        for rows, counts in share_of(self.processes, self._pieces(batches)):
            batch = self._collate(rows, self.validation)
            logits, labels = self._predicted(batch)
            if counts:
                losses.append(cross_entropy(logits, labels, reduction="sum"))
                right.append((logits.argmax(-1) == labels).sum())
                counted.append(rows)
                num_tokens += batch.num_supervised
        return [self._summed(losses, counted, self.validation), sum(values(right)), num_tokens]

    def _predicted(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the supervised positions, in fp32, and the tokens that are right there."""
        forward = self.forward if self.model.training else self.model
        with autocast(self.bf16, self.device):
            return predicted(batch, self.device, forward, self.head)

    def _collate(self, rows: Rows, examples: Examples) -> Batch:
        return collate_for(self.model, self.tokenizer, rows, examples, self.packs)

    def _is_out_of_patience(self) -> bool:
        progress = self.progress
        return progress.epoch - progress.best_epoch >= self.train.patience and progress.epoch > 0

    @property
    def _where(self) -> str:
        step = self.progress.step
        return f"step {step + 1}" if self.model.training else f"validation after step {step}"

    @torch.no_grad()
    def _diverged(self, rows: Rows, examples: Examples, found: str) -> BadInput:
        """The error for a batch; which of its records it is due to, their own losses tell."""
        where = f"{self._where}, epoch {self.progress.epoch + 1}"
        losses = dict.fromkeys(examples.ids[rows].tolist())
        self.model.eval()
        for row in () if self.is_sharded else rows:  # sharded, all would have to come here
            predictions = self._predicted(self._collate(np.array([row]), examples))
            losses[str(examples.ids[row])] = float(cross_entropy(*predictions))
        return diverged(where, losses, found, self.scratch)

    def _save_best(self) -> None:
        weights = whole_weights(self.model)
        if self.processes.is_first:
            write = partial(save_trained, self.model, weights=weights)
            self.best = save_best(self.scratch, self.progress.epoch, write)

    def _save(self) -> None:
        weights, moments = state_of(self.model, self.optimizer, self.train.launch.accelerate)
        randoms = self.processes.gathered(random_state())
        if self.processes.is_first:
            state = {
                "model": weights,
                "optimizer": moments,
                "progress": asdict(self.progress),
                "best": self.best,
                "random": randoms,
                "bf16": self.bf16,
                "packs": self.packs,
            }
            save_checkpoint(self.scratch, self.progress.step, state)

    def _resume(self) -> None:
        first = self.processes.is_first
        path = self.processes.from_first(
            whole_checkpoint(self.scratch, self._warn) if first else None
        )
        if path:
            self._go_on_from(path)
        noted = noted_parts(self.scratch) if first else 0
        self.progress.parts = max(self.progress.parts, self.processes.from_first(noted))

    def _go_on_from(self, path: Path) -> None:
        state = read_checkpoint(path)
        parts = state["model"], state["optimizer"]
        set_state(self.model, self.optimizer, self.train.launch.accelerate, *parts)
        self.progress = Progress(**state["progress"])
        self.best = state["best"]
        # Measured anew, or on another device, they could come out otherwise.
        self.bf16, self.packs = state["bf16"], state["packs"]
        self.num_steps = self._planned_steps()
        if self.processes.rank < len(state["random"]):
            set_random_state(state["random"][self.processes.rank])
        self._report("resumed", step=self.progress.step, steps=self.num_steps)

    def _warn(self, text: str) -> None:
        self._report("warning", text=text)

    def _report(self, event: str, **values: Any) -> None:
        if self.processes.is_first:
            report(self.events, event, **values)
