"""Links to MLflow's pages: only to a server's, and never with its password."""

from pathlib import Path

import pytest

from hone.tasks import tracking
from hone.tasks.tracking import pages


def test_records_in_a_bare_database_have_no_page(tmp_path: Path) -> None:
    tracking.configure(tmp_path)
    assert pages.run_page("abc") == ""
    assert pages.version_page("tickets", "3") == ""


def test_a_version_of_a_server_has_a_page_without_the_servers_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example:5000/")
    tracking.configure(tmp_path)
    assert pages.version_page("my model", "3") == "https://mlflow.example:5000/#/models/my%20model/versions/3"
    assert pages.version_page("my model", "") == ""
    monkeypatch.undo()
    tracking.configure(tmp_path)
