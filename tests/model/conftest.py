"""A tiny training that nothing disturbs, which the tests of the training loop hold others against."""

from pathlib import Path

import pytest

from hone.tasks.model.training.trainable import TrainingResult
from tests.model.training_fixtures import finish, make_job


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all jobs, so that their encoder and their data are made once."""
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="session")
def undisturbed(folder: Path) -> TrainingResult:
    return finish(make_job(folder, "undisturbed"))
