"""How much memory this process and its children may still take, and how many cores.

available_memory_bytes()  ->  21_474_836_480
num_cores()  ->  16
kernel_kills()  ->  0
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path("/")


def num_cores() -> int:
    """The cores that it may run on; fewer where `OMP_NUM_THREADS` says so."""
    allowed = len(os.sched_getaffinity(0))
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # one number a nested level
    return min(allowed, int(asked)) if asked.isdigit() and int(asked) else allowed


def available_memory_bytes(root: Path = ROOT) -> int:
    """The least of what the machine has left and what control groups and limits allow, in bytes.

    Args:
        root: Where `proc` and `sys` are.
    """
    limits: list[int] = [psutil.virtual_memory().available, *_left_in_groups(root)]
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        used = psutil.Process().memory_info()
        limits.append(most - (used.vms - used.rss))  # addresses without memory count there too
    return max(0, min(limits))


def kernel_kills(root: Path = ROOT) -> int:
    """Processes that the kernel has ended so far because memory ran out; 0 if it does not count."""
    counts = root / "proc/vmstat"
    lines = counts.read_text(encoding="utf-8").splitlines() if counts.exists() else ()
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _left_in_groups(root: Path) -> Iterator[int]:
    """What each control group has left that this process is in, from its own one upwards."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            place = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        elif not controllers:
            place, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        else:
            continue
        own = place / path.strip("/")
        # In a container, the path may be that of the host.
        for folder in (own, *(p for p in own.parents if p.is_relative_to(place))):
            left = _left(folder, *names)
            if left is not None:
                yield left


def _left(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    """Bytes left in one group; file pages that the kernel can drop count as left."""
    if not (folder / limit).exists() or not (folder / usage).exists():
        return None
    most = (folder / limit).read_text(encoding="utf-8").strip()
    if most == "max":
        return None
    lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    droppable = {name: int(count) for name, count in map(str.split, lines)}.get(cache, 0)
    used = int((folder / usage).read_text(encoding="utf-8"))
    return int(most) - used + droppable
