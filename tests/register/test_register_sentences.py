"""A tagger of words comes back from MLflow's registry and answers sentences as it did."""

from pathlib import Path

import mlflow
import numpy as np
import pytest

from hone.tasks import tracking
from hone.tasks.contracts import SessionSettings
from hone.tasks.model.text import Rows
from hone.tasks.objectives.ragged import Ragged
from hone.tasks.probe.golden import write_golden
from hone.tasks.register import serving
from tests.probe.served_tagger import LABELS, tagger, write_served_tagger

SENTENCES = [["Ann", "Lee", "left", "Rome", "."], ["left", "Lee."], ["Ann", "left"] * 9]


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    folder = write_served_tagger(tmp_path / "model")
    offsets = np.cumsum([0, *map(len, SENTENCES)])
    answered = Ragged(tagger(folder).logits(SENTENCES), offsets)
    rows = Rows([" ".join(words) for words in SENTENCES], None, np.full(3, -1, np.int64), tokens=SENTENCES)
    write_golden(tmp_path / "golden.json", rows, answered, LABELS, "token-classification")
    return tmp_path / "golden.json"


def test_what_was_logged_answers_texts_and_lists_of_words_in_a_fresh_process(
    golden: Path, storage: Path, tmp_path: Path
) -> None:
    session = SessionSettings(providers=["cpu"], threads=1, memory_arena=True)
    with tracking.pipeline_run("tagger", {}, {}) as run:
        source, root = serving.log(run, tmp_path / "model", golden, session, tmp_path / "room")
    assert source.startswith("models:/")
    assert serving.prove(root, golden) < 1e-6
    found = mlflow.pyfunc.load_model(str(root)).predict(["(Ann left)", SENTENCES[1]])
    assert found == tagger(tmp_path / "model").answers(["(Ann left)", SENTENCES[1]])
    assert [one["text"] for one in found[0]] == ["Ann"]
