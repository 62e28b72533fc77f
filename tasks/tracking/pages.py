"""Where a person sees it: the pages of an MLflow server. Records in a bare SQLite file have none."""

from urllib.parse import quote, urlsplit

from hone.tasks.redact import plain_uri
from hone.tasks.tracking import server


def run_page(run_id: str) -> str:
    """The page of a run; empty where no server has it."""
    base = _base()
    if not base or not run_id:
        return ""
    return f"{base}/#/experiments/{server.client().get_run(run_id).info.experiment_id}/runs/{run_id}"


def artifact_page(run_id: str, file: str) -> str:
    """The page that shows a file of a run; empty where no server has it."""
    page = run_page(run_id)
    return f"{page}/artifacts/{quote(file)}" if page else ""


def version_page(name: str, version: str) -> str:
    """The page of a version in the registry; empty where no server has it."""
    base = _base()
    return f"{base}/#/models/{quote(name, safe='')}/versions/{version}" if base and name and version else ""


def _base() -> str:
    """The server's address without a user and a password, which a link would give away."""
    uri = server.tracking_uri()
    return plain_uri(uri).rstrip("/") if urlsplit(uri).scheme in ("http", "https") else ""
