"""Load of the machine while a model trains: processor, memory, disk, network and GPU.

system/cpu_utilization_percentage = 97.2, step = seconds since the run was started
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from tasks.tracking.connection import connect
from tasks.tracking.journal import Journal
from tasks.tracking.run import read_run


@contextmanager
def system_metrics(journal: Journal, interval_s: float = 10.0) -> Iterator[None]:
    """Sample the machine and put the figures into the journal.

    MLflow's monitor only gathers them here: left to log by itself it stops for good the first
    time that the server does not answer.

    Args:
        journal: Of the run under way.
        interval_s: Time between samples, in seconds.
    """
    known = read_run(journal.workspace)
    started = known.started if known else time.time()
    connect()  # before the monitor, which would have MLflow make a database, in steps
    create: Any = SystemMetricsMonitor  # it has no types
    monitor = create(journal.run_id)
    ended = threading.Event()

    def sample() -> None:
        is_last = False
        while not is_last:
            is_last = ended.wait(interval_s)  # short work gets its one sample at the end
            monitor.collect_metrics()
            values = monitor.aggregate_metrics()
            for part in monitor.monitors:
                part.clear_metrics()
            named = {f"system/{name}": value for name, value in values.items()}
            journal.metrics(named, step=int(time.time() - started))

    thread = threading.Thread(target=sample, name="retune-system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
