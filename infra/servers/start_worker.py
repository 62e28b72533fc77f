"""The Prefect worker, and beside it the Ray node that its flows connect through: `start_worker.py POOL [RAY OPTION...]`

A Ray driver has to sit on a node of its cluster, so the worker's host joins the one at RAY_ADDRESS with no cores of its
own: nothing trains here. When one of the two ends, so does the other, for whoever restarts this to start both.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
HEARTBEAT = {"PREFECT_RUNNER_HEARTBEAT_FREQUENCY": "30"}
"""Seconds. Hone's deployments come with an automation that takes a flow run without one for 90 s for dead."""
WORKER_SECONDS, NODE_SECONDS = 20, 8
"""For the worker to end its flows, and then for the Ray node they need; Docker and Kubernetes wait for 30 in all."""


def main() -> int:
    """Starts both and waits for the first to end."""
    pool, ray_options = sys.argv[1], sys.argv[2:]
    stopped = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    node = [
        str(BIN / "ray"),
        "start",
        f"--address={os.environ['RAY_ADDRESS']}",
        "--num-cpus=0",
        "--num-gpus=0",
        "--block",
    ]
    worker = [str(BIN / "prefect"), "worker", "start", "--pool", pool, "--type", "process", "--with-healthcheck"]
    both = [subprocess.Popen([*node, *ray_options]), subprocess.Popen(worker, env=HEARTBEAT | os.environ)]
    while not stopped and all(process.poll() is None for process in both):
        time.sleep(0.5)
    for process, seconds in zip(reversed(both), (WORKER_SECONDS, NODE_SECONDS), strict=True):
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return 0 if stopped else 1


if __name__ == "__main__":
    sys.exit(main())
