"""What has to be in the environment before an engine is imported: quiet, offline unless asked, no telemetry.

Set by the commands alone, never at import, and never over what a person has set.
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping

from hone.tasks.cores import allowed_processors, usable_cores

QUIET = {
    # Nothing calls home. MLflow understands "true" and not "1".
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "none",  # Ray would report even that it does not report
    # No engine imports what lies in the folder that Hone is called in: a project may have a tasks.py of its own.
    "PYTHONSAFEPATH": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    # The driver owns the terminal.
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    # An ephemeral Prefect server that starts cold, and records every task before it goes.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    # Whole seconds: Prefect 3.8 cuts 0.5 to 0 and then spins on a core for as long as it lives.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


LOOPBACK = ("localhost", "127.0.0.1", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


def prepare_environment() -> None:
    """Sets what is not set yet, and keeps what is on this machine from being asked for through a proxy."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    keep_loopback_direct(os.environ)
    # Libraries that compute ask for the affinity mask and know nothing of a container's quota.
    if usable_cores() < len(allowed_processors()):
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))


def keep_loopback_direct(environment: MutableMapping[str, str]) -> None:
    """Adds this machine to NO_PROXY where a proxy is set: the engines talk to their own processes by HTTP and gRPC, and
    a proxy knows nothing of those. What a person has excluded stays excluded."""
    if not any(environment.get(name) or environment.get(name.upper()) for name in PROXIES):
        return
    excluded: list[str] = []
    for name in ("no_proxy", "NO_PROXY"):
        excluded += [host.strip() for host in environment.get(name, "").split(",")]
    direct = dict.fromkeys([*filter(None, excluded), *LOOPBACK, *own_addresses()])
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = ",".join(direct)


def own_addresses() -> list[str]:
    """Addresses at which this machine knows itself: a local Ray may take one of them instead of loopback."""
    addresses = []
    with contextlib.suppress(OSError):
        addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)]
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        outward.connect(("192.0.2.1", 9))  # of a block for documentation: UDP sends nothing by connecting
        addresses.append(str(outward.getsockname()[0]))
    return list(dict.fromkeys(addresses))
