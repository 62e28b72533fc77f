"""Old and new model on the champion's own test split: on which rows, and what the gate makes of it."""

from pathlib import Path

import numpy as np
import pytest

from hone.configs.delivery import GateSettings
from hone.tasks import evidence, store
from hone.tasks.contracts import ChampionAnswers, Check, StageRecord
from hone.tasks.gate.decision import decide
from hone.tasks.gate.old_data import ON_OLD_DATA, old_data_checks
from hone.tasks.model.text import Rows, exclude_training_rows
from hone.tasks.objectives.judging import judging

RECORD = StageRecord(name="champion", status="ran", reason="first run of this stage", seconds=1.0)
ROWS = 200
JUDGING = judging("text-classification")


def rows(*texts: str, pairs: list[str] | None = None) -> Rows:
    return Rows(list(texts), pairs, np.arange(len(texts)))


def test_rows_that_the_new_model_learned_from_are_left_out_whatever_split_they_are_in() -> None:
    test = rows("a", "b", "c", "d")
    assert exclude_training_rows(test, [rows("b", "x"), rows("d")]) == [0, 2]
    assert test.pick([0, 2]).texts == ["a", "c"]
    assert test.pick([2, 0]).labels.tolist() == [2, 0]


def test_of_a_pair_both_texts_count() -> None:
    assert exclude_training_rows(rows("a", "a", pairs=["1", "2"]), [rows("a", pairs=["2"])]) == [0]


def champion(folder: Path, wrong: int) -> ChampionAnswers:
    """A champion that is right on every row, and a candidate that is wrong on so many."""
    labels = np.arange(ROWS) % 2
    answered = labels.copy()
    answered[:wrong] = 1 - answered[:wrong]
    logits = {name: np.eye(2, dtype=np.float32)[ids] for name, ids in (("champion", labels), ("candidate", answered))}
    evidence.save(folder / "old", labels, logits, {})
    return ChampionAnswers(record=RECORD, version="1", old_artifact=store.describe(folder / "old", []))


@pytest.mark.parametrize(("wrong", "verdict"), [(0, "ACCEPTED"), (4, "INCONCLUSIVE"), (30, "REJECTED")])
def test_a_model_that_is_worse_on_the_old_data_is_refused(tmp_path: Path, wrong: int, verdict: str) -> None:
    (check,) = decide(old_data_checks(GateSettings(margin=0.03), champion(tmp_path, wrong), JUDGING, 0), level=0.05)
    assert (check.verdict, check.value, check.rows) == (verdict, pytest.approx(-wrong / ROWS), ROWS)
    assert check.subject == ON_OLD_DATA


def checks_without_old_data(old_data: str, note: str) -> list[Check]:
    settings = GateSettings.model_validate({"old_data": old_data})
    found = ChampionAnswers(record=RECORD, version="1", old_note=note)
    return decide(old_data_checks(settings, found, JUDGING, 0), level=0.05)


def test_old_data_that_are_gone_refuse_a_model_only_where_the_recipe_requires_them() -> None:
    (check,) = checks_without_old_data("require", "it is gone")
    assert (check.verdict, check.value, check.detail) == ("REJECTED", None, "it is gone")
    assert checks_without_old_data("compare", "it is gone") == []
    # The champion learned from these very data: the comparison on the new test split is the one on the old.
    assert checks_without_old_data("require", "") == []
