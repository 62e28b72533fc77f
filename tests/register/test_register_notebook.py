"""A registered version answers in a notebook as it is served."""

import os
from collections.abc import Callable

import hone
from hone.tasks.model.runtime.runtime import Classifier
from tests.register.conftest import TEXTS, Chain
from tests.register.test_register_task import register


def test_a_version_and_an_alias_answer_with_their_own_files(chain: Callable[..., Chain]) -> None:
    made = chain(register={"model_name": ""})
    version = register(made)
    before = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    for name in (f"{version.name}/{version.version}", f"{version.name}@challenger"):
        assert hone.load_model(name, made.storage).predict(TEXTS) == Classifier(made.model).answers(TEXTS)
    assert {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")} == before
