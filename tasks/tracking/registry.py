"""The model registry: logged models, their versions, and the aliases that say which of them is served."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hone.tasks.errors import RegistryError
from hone.tasks.tracking import files, server

CHALLENGER = "challenger"
CHAMPION = "champion"


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    version: str
    source: str
    """URI of the logged model it was made from."""
    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """What `load` takes."""
        return f"models:/{self.name}/{self.version}"


def log_model(
    run_id: str,
    code: Path,
    artifacts: dict[str, Path],
    *,
    settings: dict[str, Any],
    example: list[Any],
    requirements: list[str],
) -> str:
    """Puts a model into a run as MLflow's models-from-code and returns its URI. Nothing of it is pickled.

    Args:
        code: the Python file that MLflow executes where the model runs; it calls `mlflow.models.set_model`.
        artifacts: the folders and files that go with it, under the names by which that code and `download` find them.
        settings: its `model_config`.
        requirements: distributions with their versions; MLflow would guess at length, and wrong.
    """
    import mlflow

    with server.as_default(), mlflow.start_run(run_id=run_id, nested=True, log_system_metrics=False):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            artifacts={artifact: str(path) for artifact, path in artifacts.items()},
            model_config=settings,
            input_example=example,
            pip_requirements=requirements,
        )
    return str(logged.model_uri)


def fetch(uri: str, folder: Path) -> Path:
    """Fetches a logged model, or a version's, into a folder and returns its root. Nothing of it is opened or run.

    Raises:
        RegistryError: when it is not there any more.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with server.as_default():
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise RegistryError(f"{uri}: its files cannot be fetched: {error}") from error


def artifacts(root: Path) -> dict[str, Path]:
    """Where the artifacts lie that `log_model` was given, by name, in a logged model that was fetched.

    Raises:
        RegistryError: when it is no model that `log_model` logged.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        described = mlflow.models.Model.load(str(root)).flavors["python_function"].get("artifacts") or {}
    except (MlflowException, OSError, KeyError) as error:
        raise RegistryError(f"{root}: it is not a model that Hone logged: {error}") from error
    return {artifact: root / at["path"] for artifact, at in described.items()}


def fetch_checked(version: Version, folder: Path) -> Path:
    """As `fetch`, of a version whose every file is as it was when it was registered.

    Raises:
        RegistryError: when a file was changed, is missing or was added, naming it; or nothing was recorded to tell.
    """
    about = f"{version.name} version {version.version}"
    try:
        root = fetch(version.uri, folder)
    except RegistryError as error:
        raise RegistryError(f"{about}: its files cannot be fetched from {version.source}: {error}") from error
    recorded = version.tags.get(files.TAG, "")
    if not recorded:
        raise RegistryError(
            f"{about} has no tag {files.TAG}, so nothing shows that its files are what was judged: register it again "
            "with `hone optimize`"
        )
    wrong = files.difference(root, recorded)
    if wrong:
        raise RegistryError(
            f"{about}: the files at {version.source} are not those that were judged: {wrong}; register it again with "
            "`hone optimize`"
        )
    return root


def download(version: Version, folder: Path) -> dict[str, Path]:
    """As `fetch_checked`; returns where the artifacts lie that `log_model` was given, by name."""
    return artifacts(fetch_checked(version, folder))


def quoted(value: str) -> str:
    """A value as MLflow's filters take it. They know no escape, so one with both kinds of quotes cannot be written.

    Raises:
        RegistryError: when it holds both.
    """
    if "'" not in value:
        return f"'{value}'"
    if '"' in value:
        raise RegistryError(f"{value}: MLflow cannot search for a name with both ' and \" in it: leave one of them out")
    return f'"{value}"'


def model_exists(name: str) -> bool:
    """Whether a model of that name is registered.

    Raises:
        RegistryError: when MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    with server.answering(name):
        try:
            server.client().get_registered_model(name)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return False
            raise
    return True


def some_model_names(most: int) -> list[str]:
    """Names of registered models, at most so many, for a person who asked for one that is not there."""
    return [model.name for model in server.client().search_registered_models(max_results=most)]


def create_version(name: str, source: str, run_id: str, tags: dict[str, str], description: str) -> Version:
    """A new version of `name`, which is made where it is new."""
    from mlflow.exceptions import MlflowException

    connection = server.client()
    try:
        connection.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    logged = source.removeprefix("models:/")  # a server asks for the id beside the URI; a database does not
    with server.as_default():
        made = connection.create_model_version(
            name, source, run_id, tags=tags, description=description, model_id=logged
        )
    return _version(made)


def find_version(name: str, tag: str, value: str) -> Version | None:
    """The newest version whose tag has that value."""
    found = server.client().search_model_versions(f"name = {quoted(name)} and tags.`{tag}` = {quoted(value)}")
    if not found:
        return None
    newest = max(found, key=lambda version: int(version.version))
    # What a search returns lacks the aliases.
    return _version(server.client().get_model_version(name, newest.version))


def get_version(name: str, version: str) -> Version | None:
    """One version; None where there is none, or no such model."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(server.client().get_model_version(name, version))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version_at(name: str, alias: str) -> Version | None:
    """The version that carries an alias; None where there is none, or no such model.

    Raises:
        RegistryError: when MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    with server.answering(name):
        try:
            return _version(server.client().get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def set_alias(name: str, alias: str, version: str) -> None:
    """Moves an alias to a version: one update, so that whoever asks gets the old one or the new one."""
    server.client().set_registered_model_alias(name, alias, version)


def _version(found: Any) -> Version:
    return Version(
        name=found.name,
        version=str(found.version),
        source=found.source,
        run_id=found.run_id or "",
        tags=dict(found.tags),
        aliases=tuple(found.aliases),
    )
