"""What has to be in the environment before an engine is imported: quiet, offline unless asked, no telemetry.

Set by the commands alone, never at import, and never over what a person has set.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

QUIET = {
    # Nothing calls home. MLflow understands "true" and not "1".
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
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


def prepare_environment() -> None:
    """Sets what is not set yet."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def prepare_prefect_database() -> None:
    """Migrates Prefect's own SQLite file once, under a lock: two cold starts at a time would break each other.

    Does nothing where PREFECT_API_URL names a server, whose database is not ours.
    """
    if os.environ.get("PREFECT_API_URL") or os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL"):
        return
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    if (home / "prefect.db").exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    with (home / "hone.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (home / "prefect.db").exists():
            upgrade = subprocess.run(
                [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
                capture_output=True,
                text=True,
                check=False,
            )
            if upgrade.returncode:
                raise RuntimeError(f"Prefect could not set up {home / 'prefect.db'}: {upgrade.stderr[-2000:]}")
