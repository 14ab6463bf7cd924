"""torchrun without garbage collection during its imports, which makes it start a third sooner."""

from tasks.ending import run_and_end
from tasks.garbage import uncollected


def agent(first_option: str) -> int:
    """Run torchrun by the command line; it raises where a process fails."""
    torchrun()
    return 0


if __name__ == "__main__":
    with uncollected():
        from torch.distributed.run import main as torchrun
    run_and_end(agent)
