"""Who writes into the registry, and whether its server knows them."""

import getpass
from urllib.parse import urlsplit

from hone.tasks.tracking import server

CLAIMED = ""
"""Nobody vouches: the name is what somebody said."""
MLFLOW = "MLflow"
CURRENT_USER = "/api/2.0/mlflow/users/current"
"""Of MLflow's own authentication. A server without it does not know the address."""


def user() -> str:
    """Who runs this process, as the system has it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def identity() -> tuple[str, str]:
    """Who runs this process, and who vouches for it: `MLflow` and the name that its server knows them by, where it asks
    for a password or a token; else the system's name, and `CLAIMED`."""
    uri = server.tracking_uri()
    if urlsplit(uri).scheme not in ("http", "https"):
        return user(), CLAIMED
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        answer = http_request(
            get_default_host_creds(uri),
            CURRENT_USER,
            "GET",
            max_retries=0,
            timeout=server.ANSWER_SECONDS,
            raise_on_status=False,
        )
        told = answer.json() if answer.status_code == 200 else {}
    except (MlflowException, OSError, ValueError):
        return user(), CLAIMED
    found = told.get("user", told) if isinstance(told, dict) else {}
    name = found.get("username") if isinstance(found, dict) else None
    return (str(name), MLFLOW) if name else (user(), CLAIMED)
