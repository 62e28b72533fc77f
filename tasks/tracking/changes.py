"""An append-only log for each registered model, kept in MLflow's registry itself: whose champion it was, and when.

The log of `NAME` is a registered model `NAME.history`, and each entry a version of it. MLflow gives the versions of a
model their numbers one by one under a unique key, in SQLite, PostgreSQL and behind a server alike. So whoever writes
entry n finds all entries before n already there, and everybody reads the same order: writers need no other lock.
"""

import time
import uuid
from typing import Any

from hone.tasks.errors import RegistryError
from hone.tasks.tracking import server
from hone.tasks.tracking.registry import quoted

HISTORY = ".history"
ATTEMPTS = 5
ABOUT = (
    "Which version of `{name}` was the champion, and when: each version here is one entry, written by Hone and told by "
    "`hone history {name}`. Nothing is served from here; leave it as it is."
)
KIND, ID = "hone.kind", "hone.id"
SOURCE = "hone:/history"
"""What MLflow notes as the place of an entry's files, as it asks for one. There are none."""


def append_change(name: str, tags: dict[str, str]) -> int:
    """Writes an entry into the log of a model and returns its number.

    Raises:
        RegistryError: when a model of somebody else has the log's name.
    """
    from mlflow.exceptions import MlflowException

    _open_log(name)
    mine = uuid.uuid4().hex
    for attempt in range(ATTEMPTS):
        try:
            server.client().create_model_version(name + HISTORY, SOURCE, tags=tags | {ID: mine})
            break
        except MlflowException as error:
            # The database was locked, or three others were quicker each time.
            if error.error_code not in ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR") or attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.1 * 2**attempt)
    return next(number for number, found in changes(name).items() if found.get(ID) == mine)


def changes(name: str) -> dict[int, dict[str, str]]:
    """The tags of every entry in the log of a model, by number and in their order; none where it has no log.

    Raises:
        RegistryError: when MLflow does not answer.
    """
    with server.answering(name):
        return _entries(name)


def _entries(name: str) -> dict[int, dict[str, str]]:
    entries: dict[int, dict[str, str]] = {}
    wanted, order, token = f"name = {quoted(name + HISTORY)}", ["version_number ASC"], None
    while True:
        page = server.client().search_model_versions(wanted, max_results=1000, order_by=order, page_token=token)
        entries |= {int(found.version): dict(found.tags) for found in page}
        token = page.token
        if not token:
            break
    # A request whose answer was lost is sent again by MLflow's client: the first of the same entries counts.
    first: dict[str, int] = {}
    for number, tags in sorted(entries.items()):
        first.setdefault(tags.get(ID, str(number)), number)
    return {number: entries[number] for number in first.values()}


def mark_change(name: str, number: int, tags: dict[str, str]) -> None:
    """Adds tags to an entry; others may be adding the same ones."""
    from mlflow.exceptions import MlflowException

    for tag, value in tags.items():
        try:
            server.client().set_model_version_tag(name + HISTORY, str(number), tag, value)
        except MlflowException as error:
            if error.error_code != "BAD_REQUEST":
                raise
            # Two wrote a tag that neither had found: it is there now, and is written over.
            server.client().set_model_version_tag(name + HISTORY, str(number), tag, value)


def _open_log(name: str) -> None:
    from mlflow.exceptions import MlflowException

    connection = server.client()
    try:
        connection.create_registered_model(name + HISTORY, tags={KIND: "history"}, description=ABOUT.format(name=name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        found: Any = connection.get_registered_model(name + HISTORY)
        if found.tags.get(KIND) != "history":
            raise RegistryError(
                f"a registered model is called '{name}{HISTORY}', where Hone keeps the history of '{name}': "
                "rename it in MLflow"
            ) from error
