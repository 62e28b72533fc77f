"""Where MLflow keeps its records: a server that `MLFLOW_TRACKING_URI` names, else SQLite and a folder on disk."""

import fcntl
import importlib.metadata
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.disk import closed_parent
from tasks.environment import temporary_variables
from tasks.errors import PreflightError, RegistryError
from tasks.redact import without_credentials
from tasks.schema import Schema, read_schema
from tasks.storage import is_mirror, uri_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER_SECONDS = 5
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""What an experiment's page opens with: its runs. Without it MLflow guesses, and shows an empty page of traces."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class _Place:
    """The records of this process, and the connection to them once it is needed."""

    uri: str = ""
    storage: Path = Path()
    client: "MlflowClient | None" = None


def configure(storage: Path) -> str:
    """Decides where records go and returns the URI. Reads the environment; connects to nothing yet."""
    uri = _wanted_uri(storage)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if uri != _Place.uri:
        _Place.client = None
    _Place.uri, _Place.storage = uri, storage.resolve()
    return uri


def configure_existing(storage: Path) -> str:
    """As `configure`, for whoever has business with records that are there already.

    Raises:
        PreflightError: when there are none.
    """
    uri = _wanted_uri(storage)
    if uri.startswith("sqlite:") and not _sqlite_file(uri).exists():
        raise PreflightError(
            f"{_sqlite_file(uri)}: there are no records of MLflow: name the storage that the pipeline ran with by "
            "--storage, or set MLFLOW_TRACKING_URI"
        )
    return configure(storage)


def tracking_uri() -> str:
    """Where records go; empty before `configure`."""
    return _Place.uri


def client() -> "MlflowClient":
    """The connection. The first one to a new database makes its tables, one process at a time and beside its place:
    MLflow's own start is safe neither against a second process doing the same nor against a kill.

    Raises:
        PreflightError: before `configure`, or as `check` does.
    """
    if not _Place.uri:
        raise PreflightError("MLflow is not configured: call tracking.configure(storage) first")
    if _Place.client is None:
        with _one_at_a_time():
            _check(_Place.uri)  # MLflow itself tries a dead server for minutes
            import mlflow

            if _Place.uri.startswith("sqlite:") and not _sqlite_file(_Place.uri).exists():
                _make_database(_sqlite_file(_Place.uri))
            # Global, as logging a model and loading one by its registry name know no other way.
            mlflow.set_tracking_uri(_Place.uri)
            connection = mlflow.MlflowClient()
            connection.search_experiments(max_results=1)
        _Place.client = connection
    return _Place.client


def experiment_id(name: str) -> str:
    """The experiment of that name, made where it is new.

    Raises:
        PreflightError: when somebody deleted it, as MLflow keeps its name.
    """
    connection = client()
    with _one_at_a_time():
        found = connection.get_experiment_by_name(name)
        if found is None:
            # A server knows where its artifacts go. A bare database would put them below the working folder.
            served = urlsplit(_Place.uri).scheme != "sqlite"
            folder = None if served else (_Place.storage / "mlflow-artifacts" / name).as_uri()
            return str(connection.create_experiment(name, artifact_location=folder, tags=KIND))
    if found.lifecycle_stage != "active":
        raise PreflightError(
            f"MLflow's experiment '{name}' is {found.lifecycle_stage}: restore it with "
            f"`mlflow experiments restore -x {found.experiment_id}`, or give the recipe another name"
        )
    return str(found.experiment_id)


def check(storage: Path) -> str:
    """Whether MLflow would answer, in one line. Writes nothing; a server has 5 seconds.

    Raises:
        PreflightError: naming the URI, what happened and what to do.
    """
    return _check(_wanted_uri(storage))


def _check(uri: str) -> str:
    scheme = urlsplit(uri).scheme
    if scheme == "sqlite":
        return _check_sqlite(uri)
    if scheme in ("http", "https"):
        return _check_server(uri)
    raise PreflightError(
        f"MLFLOW_TRACKING_URI is '{uri}': Hone tracks to http(s):// servers and sqlite:/// files; "
        "start `mlflow server` before any other store, or unset the variable to use compute.storage"
    )


def _wanted_uri(storage: Path) -> str:
    own = f"sqlite:///{storage.resolve() / 'mlflow.db'}"
    asked = os.environ.get("MLFLOW_TRACKING_URI", "")
    if is_mirror(storage) and not asked.startswith("http"):
        raise PreflightError(
            f"MLFLOW_TRACKING_URI is '{asked}', and compute.storage is {uri_of(storage)}, a bucket, in which MLflow "
            "cannot keep its records: set MLFLOW_TRACKING_URI to a server, such as http://mlflow:5000"
        )
    # Connecting sets the variable to our own default, which must not pass for the person's wish in the next run.
    ours = asked == _Place.uri and asked == f"sqlite:///{_Place.storage / 'mlflow.db'}"
    return asked if asked and not ours else own


def _sqlite_file(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///").split("?")[0]).absolute()


def _make_database(database: Path) -> None:
    import mlflow

    beside = database.with_name(f"{database.name}.new")
    beside.unlink(missing_ok=True)
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{beside}").search_experiments(max_results=1)
    beside.rename(database)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    if not _Place.uri.startswith("sqlite:"):
        yield
        return
    database = _sqlite_file(_Place.uri)
    if not database.parent.exists():
        _check_sqlite(_Place.uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _check_sqlite(uri: str) -> str:
    database = _sqlite_file(uri)
    if database.exists():
        try:
            with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=ANSWER_SECONDS)) as reader:
                runs = reader.execute("SELECT count(*) FROM runs").fetchone()[0]
            _check_schema(database, read_schema(database, "mlflow", "store/db_migrations/versions"))
        except sqlite3.Error as error:
            raise PreflightError(
                f"{database}: not a database of MLflow ({error}): move it away, or change compute.storage"
            ) from error
        if not os.access(database, os.W_OK):
            raise PreflightError(f"{database}: not writable: change its permissions, or set compute.storage")
        return f"SQLite, {database} ({runs} runs)"
    if parent := closed_parent(database):
        raise PreflightError(
            f"{database}: cannot be created, as {parent} is not a writable folder: set compute.storage to one that is"
        )
    return f"SQLite, {database} (new)"


def _check_schema(database: Path, schema: Schema) -> None:
    """MLflow takes a database of its own release alone, and says so only when the first record is to be written."""
    if schema.current:
        return
    version = importlib.metadata.version("mlflow")
    if not schema.known:
        raise PreflightError(
            f"{database}: its schema is {schema.revision}, which MLflow {version} does not know, as a newer MLflow "
            "wrote it: install that release, or give this one a database of its own with compute.storage or "
            "MLFLOW_TRACKING_URI"
        )
    raise PreflightError(
        f"{database}: its schema is {schema.revision or 'of before there were revisions'}, of an MLflow older than "
        f"{version}, whose own is {schema.newest}: copy the file to be safe, then run "
        f"`{Path(sys.executable).with_name('mlflow')} db upgrade sqlite:///{database}`; or set compute.storage to "
        "another folder"
    )


@contextmanager
def answering(about: str = "") -> Iterator[None]:
    """Whatever MLflow cannot answer is a RegistryError, so that nobody else has to know its exceptions."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        said = without_credentials(str(error)).strip().splitlines() or [type(error).__name__]
        raise RegistryError(f"{about}{': ' if about else ''}MLflow does not answer: {said[0][:300]}") from error


def _check_server(uri: str) -> str:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow
    from mlflow.exceptions import MlflowException

    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(ANSWER_SECONDS)}
    try:
        with temporary_variables(patience):
            experiments = mlflow.MlflowClient(tracking_uri=uri).search_experiments(max_results=1000)
    except MlflowException as error:
        reason = str(error).splitlines()[0][:300]
        raise PreflightError(
            f"MLFLOW_TRACKING_URI is '{uri}', which gives no answer of an MLflow server within {ANSWER_SECONDS} s: "
            f"{reason}. Start it, correct the variable, or unset it to use compute.storage"
        ) from error
    return f"server, {without_credentials(uri)} ({len(experiments)} experiments)"
