"""Which release of an engine a SQLite database belongs to, told from its schema's revision and never by opening it with
the engine: that one would migrate it, or fail in the middle of a run."""

import importlib.util
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

READ_SECONDS = 5
_ASSIGNED = re.compile(r"^(revision|down_revision)\b[^=]*=\s*(.+)$", re.M)
_QUOTED = re.compile(r"[\"']([^\"']+)[\"']")


class Schema(NamedTuple):
    """Where a database stands among the revisions that an installed engine knows."""

    revision: str
    """What the database says of itself; empty where it says nothing."""
    newest: str
    """The engine's own."""
    known: bool
    """Whether the engine has heard of the database's revision; False says that a newer release wrote it."""

    @property
    def current(self) -> bool:
        """Whether the engine takes the database as it is."""
        return self.revision == self.newest


def read_schema(database: Path, package: str, versions: str) -> Schema:
    """Compares a database with the migrations that a package ships.

    Args:
        database: SQLite file, which is only read.
        package: import name of the engine.
        versions: folder of its Alembic migrations, below the package.

    Raises:
        sqlite3.Error: where the file is no database, or is held by a writer for long.
    """
    newest, known = _migrations(package, versions)
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=READ_SECONDS)) as reader:
        tables = {name for (name,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            return Schema("", newest, known=True)
        found = reader.execute("SELECT version_num FROM alembic_version").fetchone()
    revision = str(found[0]) if found else ""
    return Schema(revision, newest, known=not revision or revision in known)


def _migrations(package: str, versions: str) -> tuple[str, set[str]]:
    """The newest revision, and all of them. Read as text, as importing an engine costs seconds."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed")
    revisions, replaced = set(), set()
    for file in (Path(spec.submodule_search_locations[0]) / versions).glob("*.py"):
        assigned = dict(_ASSIGNED.findall(file.read_text(encoding="utf-8")))
        if "revision" in assigned:
            revisions.update(_QUOTED.findall(assigned["revision"]))
            replaced.update(_QUOTED.findall(assigned.get("down_revision", "")))
    heads = revisions - replaced
    if len(heads) != 1:
        raise RuntimeError(f"{package}: {len(heads)} newest revisions among {len(revisions)} in {versions}")
    return heads.pop(), revisions
