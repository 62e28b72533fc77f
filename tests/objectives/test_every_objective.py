"""Each objective stands in every table that is asked by its name: what is forgotten is told before training."""

import ast
import itertools
from pathlib import Path
from typing import get_args

import pytest

from hone.configs import applies
from hone.configs.data import DataSettings
from hone.configs.delivery import QualityMetric
from hone.configs.recipe import COLUMNS, METRICS, OF_TEXTS, Objective, Task
from hone.tasks.data import kinds
from hone.tasks.drift import measure
from hone.tasks.model.runtime import runtime
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.learning import LEARNING
from hone.tasks.register import serving
from hone.tasks.report import wording

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


def test_each_objective_is_learned_compared_and_has_metrics_to_be_judged_by() -> None:
    tables = {"learning": LEARNING, "drift": measure.ANSWERS, "gate.metrics": METRICS}
    assert {name: set(OBJECTIVES) ^ set(table) for name, table in tables.items()} == {name: set() for name in tables}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_recipe_names_the_metrics_that_it_is_judged_by_the_primary_one_first(objective: Objective) -> None:
    judged = judging(objective)
    assert METRICS[objective][0] == judged.primary
    assert set(METRICS[objective]) == set(judged.metrics)
    assert set(judged.metrics) <= set(get_args(QualityMetric))
    assert set(judged.metrics) <= set(wording.METRICS)
    assert judged.primary in wording.CHECKS
    assert judged.baseline_runtime in wording.BASELINES


def answered_by_mlflow() -> set[str]:
    """The keys of ANSWERS in the file that MLflow runs, which does its work where it is imported."""
    tree = ast.parse(Path(serving.__file__).with_name("serving_model.py").read_text(encoding="utf-8"))
    tables = [
        one.value for one in tree.body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "ANSWERS"
    ]
    (table,) = tables
    assert isinstance(table, ast.Dict)
    return {ast.literal_eval(key) for key in table.keys if key is not None}


def test_what_texts_have_is_read_asked_for_and_served() -> None:
    named = set(get_args(DataSettings.model_fields["labels"].annotation))
    assert set(OF_TEXTS) == set(kinds.OF_TEXTS) == named
    assert set(applies.TEXTS) == set(OF_TEXTS.values()) == set(runtime.ANSWERS) == answered_by_mlflow()


def test_a_task_of_something_other_than_whole_texts_names_its_data_and_what_its_report_shows() -> None:
    others = set(get_args(Task)) - {"text-classification"}
    assert others == set(OBJECTIVES) - set(OF_TEXTS.values()) == set(COLUMNS) == set(wording.HAVE)
    for column, _what in itertools.chain.from_iterable(COLUMNS.values()):
        assert kinds.kind_of(DataSettings(train="a", **{column: "a"})) not in kinds.OF_TEXTS.values()


def test_the_report_has_a_word_for_what_the_rows_of_each_task_have() -> None:
    assert set(wording.TRUE) == set(wording.SAME) == set(OF_TEXTS) | set(wording.HAVE.values())
