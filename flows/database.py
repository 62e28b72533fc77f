"""Prefect's server and database, looked at before a run: it would wait for minutes for a server that is down, and hide
why it cannot use a database of another release."""

import fcntl
import importlib.metadata
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from hone.tasks.disk import closed_parent
from hone.tasks.errors import PreflightError
from hone.tasks.redact import without_credentials
from hone.tasks.schema import Schema, read_schema

ANSWER_SECONDS = 5.0
MIGRATIONS = "server/database/_migrations/versions/sqlite"


def check_prefect() -> str:
    """Whether Prefect would record a run, in one line. Writes nothing; a server has 5 seconds.

    Raises:
        PreflightError: naming the server or the database, what is wrong with it and what to do.
    """
    api = server_address()
    if api:
        return _check_server(api)
    database = _sqlite_file()
    if database is None:
        return "a database that PREFECT_API_DATABASE_CONNECTION_URL names"
    if database.exists():
        _read(database)
        return f"no server: SQLite, {database}"
    if parent := closed_parent(database):
        raise PreflightError(
            f"{database}: cannot be created, as {parent} is not a writable folder: set PREFECT_HOME to one that is"
        )
    return f"no server: SQLite, {database} (new)"


def server_address() -> str:
    """URL of the API that Prefect would use, from PREFECT_API_URL or its profile; empty where it would start one."""
    if "PREFECT_API_URL" in os.environ:
        return os.environ["PREFECT_API_URL"]
    from prefect.settings import Settings

    return str(Settings().api.url or "")  # read anew: Prefect keeps what the variables were when it was imported


def prepare_prefect_database() -> None:
    """Makes or migrates Prefect's own SQLite file, under a lock: two cold starts at a time would break each other.

    Does nothing where a server is named, whose database is not ours.

    Raises:
        PreflightError: when the database cannot be used or made.
    """
    database = None if server_address() else _sqlite_file()
    if database is None or (database.exists() and _read(database).current):
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with (database.parent / "hone.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if database.exists() and _read(database).current:
            return
        upgrade = subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
            capture_output=True,
            text=True,
            check=False,
        )
        if upgrade.returncode:
            said = (upgrade.stderr or upgrade.stdout).strip().splitlines()[-1:]
            raise PreflightError(
                f"{database}: Prefect could not set it up ({''.join(said)}): move it away, or set PREFECT_HOME to "
                "another folder"
            )


def _check_server(api: str) -> str:
    import httpx
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

    headers, login = {}, str(PREFECT_API_AUTH_STRING.value() or "")
    user, _, password = login.partition(":")
    if PREFECT_API_KEY.value():
        headers["Authorization"] = f"Bearer {PREFECT_API_KEY.value()}"
    try:
        answer = httpx.get(
            f"{api.rstrip('/')}/health",
            headers=headers,
            auth=(user, password) if login else None,
            timeout=ANSWER_SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        reason = without_credentials(str(error)) or type(error).__name__
        raise PreflightError(_no_answer(api, reason)) from None
    if answer.status_code in (401, 403):
        raise PreflightError(
            f"PREFECT_API_URL is '{api}', which refuses to be asked (HTTP {answer.status_code}): set PREFECT_API_KEY, "
            "or PREFECT_API_AUTH_STRING to USER:PASSWORD, as the server's own"
        )
    if not answer.is_success:
        raise PreflightError(_no_answer(api, f"HTTP {answer.status_code}"))
    return f"server, {without_credentials(api)}"


def _no_answer(api: str, reason: str) -> str:
    return (
        f"PREFECT_API_URL is '{api}', where no Prefect server answers within {ANSWER_SECONDS:g} s ({reason}): start "
        "it, correct the variable, or unset it to run without a server (`prefect config unset PREFECT_API_URL` where a "
        "profile sets it)"
    )


def _sqlite_file() -> Path | None:
    """Prefect's own database; None where a connection to another kind is set."""
    url = os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL") or os.environ.get(
        "PREFECT_SERVER_DATABASE_CONNECTION_URL", ""
    )
    if url and not url.startswith("sqlite"):
        return None
    if url:
        return Path(url.partition(":///")[2].split("?")[0]).absolute()
    return Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser().absolute() / "prefect.db"


def _read(database: Path) -> Schema:
    version = importlib.metadata.version("prefect")
    try:
        schema = read_schema(database, "prefect", MIGRATIONS)
    except sqlite3.Error as error:
        raise PreflightError(
            f"{database}: not a database of Prefect ({error}): move it away, or set PREFECT_HOME to another folder"
        ) from error
    if not schema.known:
        raise PreflightError(
            f"{database}: its schema is {schema.revision}, which Prefect {version} does not know, as a newer Prefect "
            "wrote it: install that release, or set PREFECT_HOME to another folder"
        )
    if not os.access(database, os.W_OK):
        raise PreflightError(f"{database}: not writable: change its permissions, or set PREFECT_HOME to another folder")
    return schema
