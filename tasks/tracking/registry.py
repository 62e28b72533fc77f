"""The model registry: logged models, their versions, and the aliases that say which of them is served."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.errors import RegistryError
from tasks.tracking import server

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
    server.client()
    import mlflow

    with mlflow.start_run(run_id=run_id, nested=True, log_system_metrics=False):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            artifacts={artifact: str(path) for artifact, path in artifacts.items()},
            model_config=settings,
            input_example=example,
            pip_requirements=requirements,
        )
    return str(logged.model_uri)


def load(uri: str) -> Callable[[list[Any]], Any]:
    """The `predict` of a logged model or a version, as `models:/NAME@champion`."""
    server.client()
    import mlflow

    predict: Callable[[list[Any]], Any] = mlflow.pyfunc.load_model(uri).predict
    return predict


def download(version: Version, folder: Path) -> dict[str, Path]:
    """Fetches a version's files into a folder and returns where the artifacts lie that `log_model` was given, by name.

    Raises:
        RegistryError: when they are not there any more.
    """
    server.client()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        root = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.uri, dst_path=str(folder)))
        described = mlflow.models.Model.load(str(root)).flavors["python_function"].get("artifacts") or {}
    except (MlflowException, OSError, KeyError) as error:
        raise RegistryError(
            f"{version.name} version {version.version}: its files cannot be fetched from {version.source}: {error}"
        ) from error
    return {artifact: root / at["path"] for artifact, at in described.items()}


def model_names() -> list[str]:
    """Every registered model.

    Raises:
        RegistryError: when MLflow does not answer.
    """
    found: list[str] = []
    token = None
    with server.answering():
        while True:
            page = server.client().search_registered_models(max_results=1000, page_token=token)
            found += [model.name for model in page]
            token = page.token
            if not token:
                return found


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
    made = connection.create_model_version(name, source, run_id, tags=tags, description=description, model_id=logged)
    return _version(made)


def find_version(name: str, tag: str, value: str) -> Version | None:
    """The newest version whose tag has that value."""
    found = server.client().search_model_versions(f"name = '{name}' and tags.`{tag}` = '{value}'")
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
