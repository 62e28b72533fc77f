"""What MLflow keeps of a run. The only import of mlflow, and made when first needed, as it costs seconds."""

from tasks.tracking.changes import HISTORY, append_change, changes, mark_change
from tasks.tracking.past import PastRun, last_run, stage_result
from tasks.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    Version,
    create_version,
    download,
    find_version,
    get_version,
    load,
    log_model,
    model_names,
    set_alias,
    version_at,
)
from tasks.tracking.runs import StageLog, as_params, pipeline_log, pipeline_run, stage_run, user
from tasks.tracking.server import check, configure, configure_existing, tracking_uri

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "HISTORY",
    "PastRun",
    "StageLog",
    "Version",
    "append_change",
    "as_params",
    "changes",
    "check",
    "configure",
    "configure_existing",
    "create_version",
    "download",
    "find_version",
    "get_version",
    "last_run",
    "load",
    "log_model",
    "mark_change",
    "model_names",
    "pipeline_log",
    "pipeline_run",
    "set_alias",
    "stage_result",
    "stage_run",
    "tracking_uri",
    "user",
    "version_at",
]
