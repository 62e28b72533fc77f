"""What MLflow keeps of a run. The only import of mlflow, and made when first needed, as it costs seconds."""

from tasks.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    Version,
    create_version,
    find_version,
    load,
    log_model,
    set_alias,
    tag_version,
    version_at,
)
from tasks.tracking.runs import StageLog, pipeline_log, pipeline_run, stage_run
from tasks.tracking.server import check, configure, tracking_uri

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "StageLog",
    "Version",
    "check",
    "configure",
    "create_version",
    "find_version",
    "load",
    "log_model",
    "pipeline_log",
    "pipeline_run",
    "set_alias",
    "stage_run",
    "tag_version",
    "tracking_uri",
    "version_at",
]
