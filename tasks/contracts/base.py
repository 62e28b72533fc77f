"""What every contract is made of: a folder of files, and what became of a stage."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

VERSION = 1
"""Of the contracts' meaning; raise it when a field comes to mean something else. What was written under another one, or
does not validate, is a result that is not there."""


class Contract(BaseModel):
    """Frozen and closed, as it is the interface between stages and the format of `report.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Contract):
    """A folder of files, by place and by content."""

    uri: str
    """Where it lies: `file:///...`."""
    digest: str
    """sha256 over the names and contents of its files: `sha256:<hex>`."""
    made_from: list[str] = []
    """Digests of what it was made from."""
    size_bytes: int
    """Sum of the sizes of its files."""


class StageRecord(Contract):
    """What became of one stage in one run."""

    name: str
    status: Literal["ran", "cached", "skipped", "failed"]
    reason: str
    """Why it ran or did not, down to the setting that changed."""
    seconds: float
    mlflow_run_id: str = ""
    """The nested run; of the run that computed it, where it is cached."""
    digest: str = ""
    """Digest of what the stage produced."""


class StageResult(Contract):
    """What every stage returns: its record, and what it made."""

    record: StageRecord

    def headline(self) -> str:
        """The number a person would ask for first."""
        return ""
