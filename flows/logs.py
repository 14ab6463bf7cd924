"""What a user sees in the terminal: Retune's own log and warnings, on standard error.

14:02:11  ingest: 1000 rows in 0.8 s
14:02:12  template: started
"""

import logging
import os
import sys

QUIET = {
    # All of it still goes to Prefect's server, whose pages show it by run and by task.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}

NOISY = ("alembic", "mlflow", "httpx", "huggingface_hub")


def to_terminal() -> None:
    """Show Retune's log and keep the libraries' chatter away.

    Call it before prefect and mlflow are imported.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logger = logging.getLogger("retune")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class _Plain(logging.Formatter):
    """Time and message; the level only where it is more than information."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s  %(level)s%(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        is_plain = record.levelno <= logging.INFO
        record.level = "" if is_plain else f"{record.levelname.lower()}: "
        return super().format(record)
