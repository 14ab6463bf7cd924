"""Entry point of the training process: `torchrun -m tasks.training JOB.json`."""

from tasks.ending import run_and_end
from tasks.garbage import uncollected

if __name__ == "__main__":
    with uncollected():
        from tasks.training.main import main
    run_and_end(main)
