"""System metrics of a run: processor, memory, disk, network and, where there is one, GPU.

MLflow's own loop asks the server for the run before every sample and drops the samples since the last full interval, so
that a run of under ten seconds has none. Its probes are used here, in a loop that ends with what it has.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from hone.tasks.tracking import server

SAMPLE_SECONDS = 2.0
SAMPLES_PER_POINT = 5


@contextmanager
def watched(run_id: str, record: Callable[[dict[str, float], int], None]) -> Iterator[None]:
    """Records the mean over each ten seconds, and over the rest at the end, as `system/...`.

    Args:
        record: takes the values and a running number; called from another thread.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    probes = SystemMetricsMonitor(run_id, tracking_uri=server.tracking_uri())
    done = threading.Event()

    def forget() -> None:
        for probe in probes.monitors:
            probe.clear_metrics()

    def watch() -> None:
        point = 0
        probes.collect_metrics()  # processor time counts from the last look: this one starts the count
        forget()
        while True:
            for _sample in range(SAMPLES_PER_POINT):
                ended = done.wait(SAMPLE_SECONDS)
                probes.collect_metrics()
                if ended:
                    break
            # What MLflow does not take now stays with the log, whose last write, in the run's own thread, raises.
            with suppress(MlflowException):
                record({f"system/{name}": value for name, value in probes.aggregate_metrics().items()}, point)
            forget()
            point += 1
            if ended:
                return

    thread = threading.Thread(target=watch, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
