"""Against the champion: on the rows that it has not learned from, and how many those are."""

from pathlib import Path

import numpy as np
import pytest

from hone.configs.delivery import GateSettings
from hone.tasks import evidence, store
from hone.tasks.contracts import ChampionAnswers, Check, StageRecord
from hone.tasks.gate.champion import champion_checks
from hone.tasks.gate.decision import decide
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.text_classification.metrics import statistics_of

RECORD = StageRecord(name="champion", status="ran", reason="first run of this stage", seconds=1.0)
ROWS = 400
LABELS = np.arange(ROWS) % 2
JUDGING = judging("text-classification")
NOTE = "100 of 400 test rows left out, as the champion has learned from them"


def checks(champion: ChampionAnswers, candidate: np.ndarray) -> list[Check]:
    settings = GateSettings(margin=0.05, resamples=500)
    answered = statistics_of(LABELS, candidate, 2)
    return decide(champion_checks(settings, champion, JUDGING, LABELS, answered, 0), settings.level)


def test_rows_that_the_champion_learned_from_count_for_neither(tmp_path: Path) -> None:
    """On the first 100 rows, which it knows by heart, the candidate is always wrong."""
    fair = np.arange(100, ROWS)
    evidence.save_logits(tmp_path / "a", {"champion": np.eye(2, dtype=np.float32)[LABELS[fair]]})
    evidence.save_rows(tmp_path / "a", fair.tolist())
    found = ChampionAnswers(record=RECORD, version="1", artifact=store.describe(tmp_path / "a", []), note=NOTE)
    (check,) = checks(found, np.where(np.arange(ROWS) < 100, 1 - LABELS, LABELS))
    assert (check.verdict, check.value, check.rows) == ("ACCEPTED", 0.0, 300)
    assert check.detail.endswith(f"; {NOTE}")


def test_answers_to_every_row_are_compared_on_every_row(tmp_path: Path) -> None:
    evidence.save_logits(tmp_path / "a", {"champion": np.eye(2, dtype=np.float32)[LABELS]})
    found = ChampionAnswers(record=RECORD, version="1", artifact=store.describe(tmp_path / "a", []))
    (check,) = checks(found, np.where(np.arange(ROWS) < 100, 1 - LABELS, LABELS))
    assert (check.verdict, check.value, check.rows) == ("REJECTED", pytest.approx(-0.25), ROWS)


def test_a_champion_that_learned_from_every_row_leaves_it_open_and_none_asks_nothing() -> None:
    (check,) = checks(ChampionAnswers(record=RECORD, version="1", note="all left out"), LABELS)
    assert (check.verdict, check.detail) == ("INCONCLUSIVE", "not compared: all left out")
    assert checks(ChampionAnswers(record=RECORD), LABELS) == []
