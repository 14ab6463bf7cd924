"""Entry point of the process that forecasts: `python -m tasks.training.footprint_main JOB.json`."""

from tasks.ending import run_and_end
from tasks.garbage import uncollected

if __name__ == "__main__":
    with uncollected():
        from tasks.training.footprint import main
    run_and_end(main)
