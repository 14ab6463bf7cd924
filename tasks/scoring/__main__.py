"""Entry point of the scoring process: `torchrun -m tasks.scoring JOB.json`."""

from tasks.ending import run_and_end
from tasks.garbage import uncollected

if __name__ == "__main__":
    with uncollected():
        from tasks.scoring.main import main
    run_and_end(main)
