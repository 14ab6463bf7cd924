"""The group of processes that torchrun started, and its collective operations.

Processes(rank=1, size=4).sums([3.0])  ->  [12.0], when each of the four has 3.0
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist

from tasks.errors import BadInput

LONGEST_WAIT = timedelta(days=1)
"""How long one waits for another, which may read or write large files; torchrun ends the group when
a process has died."""


@dataclass(frozen=True)
class Processes:
    """One process among those that work together.

    Attributes:
        rank: Its number, from 0; only the first one writes and reports.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, backend: Literal["nccl", "gloo"] | None = None) -> "Processes":
        """Join the group that torchrun started; without torchrun, a group of one.

        Args:
            backend: How the processes communicate; None for the default of the device.

        Raises:
            BadInput: There are more of them on this machine than GPUs.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
            if torch.cuda.is_available():
                gpus, found = torch.cuda.device_count(), os.environ["LOCAL_WORLD_SIZE"]
                if int(found) > gpus:
                    expected = f"at most {gpus}, one for each visible GPU"
                    raise BadInput("train.launch.processes_per_node", expected, found)
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            by_device = "nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend or by_device, timeout=LONGEST_WAIT)
        if not dist.is_initialized():
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def first_one_first(self) -> Iterator[None]:
        """The first process does what is inside, then all others do."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def sums(self, values: Sequence[float], device: torch.device | None = None) -> list[float]:
        """Each value, summed over the processes.

        Args:
            values: As many as the others have.
            device: Where they are summed; with `nccl` this process's GPU.
        """
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return total.tolist()

    def from_first(self, value: Any) -> Any:
        """What the first process has."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def gathered(self, value: Any) -> list[Any]:
        """What each process has, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values
