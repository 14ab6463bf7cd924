"""Entry point of the scoring process: `torchrun -m tasks.scoring JOB.json`."""

from tasks.garbage import uncollected
from tasks.launch import run_and_end

if __name__ == "__main__":
    with uncollected():
        from tasks.scoring.main import main
    run_and_end(main)
