"""Where MLflow keeps its records: a server that `MLFLOW_TRACKING_URI` names, else SQLite and a folder on disk.

The place of the records belongs to the flow of control that configured it (a `ContextVar`): two runs in one process
write each into its own. Prefect's tasks inherit it, called or submitted; another thread configures its own.
"""

import fcntl
import importlib.metadata
import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hone.tasks.disk import closed_parent
from hone.tasks.environment import lasting_variable, temporary_variables
from hone.tasks.errors import PreflightError, RegistryError
from hone.tasks.redact import without_credentials
from hone.tasks.schema import Schema, read_schema
from hone.tasks.storage import is_mirror, uri_of

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


class Place:
    """Where one run's records go, and the connection to them once it is needed."""

    def __init__(self, uri: str, storage: Path) -> None:
        self.uri = uri
        self.storage = storage
        self._client: MlflowClient | None = None

    def client(self) -> "MlflowClient":
        """The connection. The first one to a new database makes its tables, one process at a time and beside its place:
        MLflow's own start is safe neither against a second process doing the same nor against a kill."""
        if self._client is None:
            with self.locked():
                _check(self.uri)  # MLflow itself tries a dead server for minutes
                import mlflow

                if self.uri.startswith("sqlite:") and not _sqlite_file(self.uri).exists():
                    _make_database(_sqlite_file(self.uri))
                connection = mlflow.MlflowClient(tracking_uri=self.uri)
                connection.search_experiments(max_results=1)
            self._client = connection
        return self._client

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time, and one thread of it, where the records are a file."""
        if not self.uri.startswith("sqlite:"):
            yield
            return
        database = _sqlite_file(self.uri)
        if not database.parent.exists():
            _check_sqlite(self.uri)
        database.parent.mkdir(parents=True, exist_ok=True)
        with database.with_name(f"{database.name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


_place: ContextVar[Place | None] = ContextVar("place of the records", default=None)
_making = threading.Lock()
"""MLflow makes tables through Alembic, which knows one database a process at a time."""


def configure(storage: Path) -> str:
    """Decides where this run's records go and returns the URI. Reads the environment; connects to nothing yet."""
    uri = _wanted_uri(storage)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    before, folder = _place.get(), storage.resolve()
    if before is None or (before.uri, before.storage) != (uri, folder):
        _place.set(Place(uri, folder))
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


def place() -> Place:
    """Where this run's records go.

    Raises:
        PreflightError: before `configure`.
    """
    configured = _place.get()
    if configured is None:
        raise PreflightError("MLflow is not configured: call tracking.configure(storage) first")
    return configured


def tracking_uri() -> str:
    """Where this run's records go; empty before `configure`."""
    configured = _place.get()
    return configured.uri if configured else ""


def client() -> "MlflowClient":
    """The connection to this run's records.

    Raises:
        PreflightError: before `configure`, or as `check` does.
    """
    return place().client()


@contextmanager
def as_default() -> Iterator[None]:
    """Makes this run's records MLflow's own default while the block lasts, and then puts back what it was.

    Logging a model, making a version of it and fetching one know no other way. The default is the process's, so that
    other runs which need it wait.
    """
    client()
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    uri = tracking_uri()
    with temporary_variables({"MLFLOW_TRACKING_URI": uri}), _use_tracking_uri(uri):
        yield


def text_of(run_id: str, file: str) -> str:
    """What a text file among a run's artifacts says."""
    with tempfile.TemporaryDirectory() as room:
        return Path(client().download_artifacts(run_id, file, room)).read_text(encoding="utf-8")


def experiment_id(name: str) -> str:
    """The experiment of that name, made where it is new.

    Raises:
        PreflightError: when somebody deleted it, as MLflow keeps its name.
    """
    connection, records = client(), place()
    with records.locked():
        found = connection.get_experiment_by_name(name)
        if found is None:
            # A server knows where its artifacts go. A bare database would put them below the working folder.
            served = urlsplit(records.uri).scheme != "sqlite"
            folder = None if served else (records.storage / "mlflow-artifacts" / name).as_uri()
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
    asked = lasting_variable("MLFLOW_TRACKING_URI")
    if is_mirror(storage) and not asked.startswith("http"):
        raise PreflightError(
            f"MLFLOW_TRACKING_URI is '{asked}', and compute.storage is {uri_of(storage)}, a bucket, in which MLflow "
            "cannot keep its records: set MLFLOW_TRACKING_URI to a server, such as http://mlflow:5000"
        )
    return asked or own


def _sqlite_file(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///").split("?")[0]).absolute()


def _make_database(database: Path) -> None:
    import mlflow

    beside = database.with_name(f"{database.name}.new")
    beside.unlink(missing_ok=True)
    with _making, _written_at_its_end(beside):
        mlflow.MlflowClient(tracking_uri=f"sqlite:///{beside}").search_experiments(max_results=1)
    beside.rename(database)


@contextmanager
def _written_at_its_end(database: Path) -> Iterator[None]:
    """What is done to a new database inside is on the disk when the block ends, and not after each of the hundreds of
    commits that its tables take, of which each waits for the disk. Until then nobody knows the file."""
    from sqlalchemy import Engine, event

    def hurry(connection: Any, _record: Any) -> None:
        if str(database) in (file for _, _, file in connection.execute("PRAGMA database_list")):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hurry)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hurry)
    with database.open("rb") as written:
        os.fsync(written.fileno())


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
