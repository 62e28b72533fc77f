"""What is served, changed: the only flows that move the alias `champion`."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Completed, State

from hone.flows.outcome import told
from hone.tasks import tracking
from hone.tasks.contracts import PromotionRecord
from hone.tasks.promote.task import promote_version, roll_back


@flow(name="promote")
@told(lambda given: f"{given['name']} version {given['version']}")
def promote(name: str, version: str, override: str = "", who: str = "", storage: str = ".hone") -> State[Any]:
    """Look at the version and at who is the champion, hold the version's files against what was judged, have it answer
    in a fresh process, write the change into the history, and move the alias `champion`.

    Args:
        name: Registered model.
        version: Its version that is to be served.
        override: Why, although its verdict is not ACCEPTED; recorded.
        who: Who asks; recorded as claimed. Empty: the user that MLflow's server knows this by, else that it runs as.
        storage: Folder of MLflow's records, unless MLFLOW_TRACKING_URI says otherwise.
    """
    tracking.configure_existing(Path(storage).expanduser())
    return _done(promote_version(name, version, who, override))


@flow(name="rollback")
@told(lambda given: str(given["name"]))
def rollback(name: str, reason: str = "", who: str = "", storage: str = ".hone") -> State[Any]:
    """Find the champion before this one, and promote it in the same steps. As undo, a second rollback goes further
    back: after 1, 2, 3 the first restores 2 and the second 1.

    Args:
        name: Registered model.
        reason: Why; recorded, and needed where the verdict of that version is not ACCEPTED.
        who: Who asks; recorded as claimed. Empty: the user that MLflow's server knows this by, else that it runs as.
        storage: Folder of MLflow's records, unless MLFLOW_TRACKING_URI says otherwise.
    """
    tracking.configure_existing(Path(storage).expanduser())
    return _done(roll_back(name, who, reason))


def _done(change: PromotionRecord) -> State[Any]:
    return Completed(message=f"{change.name}: version {change.to_version} is the champion", data=change)
