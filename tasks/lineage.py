"""What a run learned from, as MLflow recalls it: so that the next one can tell what is new."""

from dataclasses import dataclass

from pydantic import ValidationError

from hone.tasks import store, tracking
from hone.tasks.contracts import PreparedData, TrainedModel
from hone.tasks.errors import DamagedArtifactError, StorageError, UnsafeFileError
from hone.tasks.tracking import Version


@dataclass(frozen=True)
class OldData:
    """What a registered version learned from."""

    data: PreparedData | None = None
    """Prepared splits that are there, unchanged; None where they are not."""
    note: str = ""
    """Why they are not."""


def data_of_run(run_id: str) -> PreparedData | None:
    """What the data stage of a pipeline run prepared; its files may be gone. None where MLflow does not know."""
    found = tracking.stage_result(run_id, "data") if run_id else ""
    try:
        return PreparedData.model_validate_json(found) if found else None
    except ValidationError:  # written by a version of Hone with other contracts
        return None


def sources_of_teacher(run_id: str) -> list[str]:
    """Digests of the data and of the encoder that a pipeline run's teacher was trained from; empty where MLflow does
    not know."""
    found = tracking.stage_result(run_id, "train") if run_id else ""
    try:
        return TrainedModel.model_validate_json(found).checkpoint.artifact.made_from if found else []
    except ValidationError:  # written by a version of Hone with other contracts
        return []


def data_of_version(version: Version) -> OldData:
    """What a version learned from, if its files still are what they were."""
    about = f"what {version.name} version {version.version} learned from"
    found = data_of_run(version.tags.get("hone.pipeline_run_id", ""))
    if found is None:
        return OldData(note=f"MLflow does not recall {about}")
    try:
        store.open_artifact(found.artifact)
    except (DamagedArtifactError, StorageError, UnsafeFileError) as error:
        return OldData(note=f"{about} is not there any more: {error}")
    return OldData(found)
