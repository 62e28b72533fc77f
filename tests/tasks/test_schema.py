"""Which release a database belongs to, told without the engine that would migrate it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hone.tasks.schema import read_schema

MLFLOW = ("mlflow", "store/db_migrations/versions")
PREFECT = ("prefect", "server/database/_migrations/versions/sqlite")


def database(folder: Path, revision: str | None) -> Path:
    path = folder / "of a person's.db"
    with closing(sqlite3.connect(path)) as writer:
        if revision is not None:
            writer.execute("CREATE TABLE alembic_version (version_num TEXT)")
            writer.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        writer.commit()
    return path


@pytest.mark.parametrize(("package", "versions"), [MLFLOW, PREFECT])
def test_a_revision_is_current_older_newer_or_absent(tmp_path: Path, package: str, versions: str) -> None:
    from hone.tasks.schema import _migrations

    newest, known = _migrations(package, versions)
    older = next(iter(known - {newest}))
    for number, (revision, current, heard_of) in enumerate(
        [(newest, True, True), (older, False, True), ("ffffffffffff", False, False), (None, False, True)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        schema = read_schema(database(folder, revision), package, versions)
        assert (schema.current, schema.known) == (current, heard_of)
        assert schema.newest == newest


def test_a_file_that_is_no_database_is_told_by_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 40)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        read_schema(path, *MLFLOW)
