"""The level is spent over all verdicts on the same test rows."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.tasks.gate.exact import exact_p
from hone.tasks.gate.looks import next_look, rows_digest, spent_by
from hone.tasks.tracking import PastLook


@pytest.mark.parametrize("planned", [None, 1, 3, 20])
def test_all_looks_together_spend_at_most_the_level(planned: int | None) -> None:
    spent = [spent_by(number, 0.05, planned) for number in range(1, 1 + (planned or 5000))]
    assert all(level > 0 for level in spent)
    assert spent == sorted(spent, reverse=True)
    assert 0.0499 <= sum(spent) <= 0.05 + 1e-12


def test_the_first_levels_are_worked_by_hand() -> None:
    assert [spent_by(k, 0.06, None) for k in (1, 2, 3)] == pytest.approx([0.03, 0.01, 0.005])
    assert spent_by(1, 0.05, 1) == pytest.approx(0.05)
    assert spent_by(1, 0.05, 2) == pytest.approx(0.05 * np.log(1 + (np.e - 1) / 2))


def test_a_model_that_was_judged_before_is_no_new_look() -> None:
    past = [PastLook(1, "a"), PastLook(2, "b"), PastLook(1, "a"), PastLook(3, "c")]
    assert next_look([], "a", 0.05, None).number == 1
    assert [next_look(past, one, 0.05, None).number for one in "abcd"] == [1, 2, 3, 4]
    assert next_look(past[:1], "b", 0.05, None).level == pytest.approx(0.05 / 6)


def test_beyond_the_plan_nothing_can_be_accepted() -> None:
    past = [PastLook(1, "a"), PastLook(2, "b")]
    assert next_look(past, "b", 0.05, 2).check is None
    check = next_look(past, "c", 0.05, 2).check
    assert check is not None
    assert (check.verdict, check.value, check.threshold) == ("INCONCLUSIVE", 3, 2)
    assert "gate.looks plans 2 on these test rows, and this is look 3" in check.detail


@pytest.mark.parametrize("planned", [None, 20])
def test_of_twenty_models_at_the_margin_one_is_accepted_at_most_as_often_as_the_level(planned: int | None) -> None:
    rows, margin, tries = 300, 0.04, 1000
    drawn = np.random.default_rng(1).multinomial(rows, [0.01, 0.05, 0.94], size=(tries, 20))
    p = np.vectorize(lambda won, lost: exact_p(int(won), int(lost), rows, margin))(drawn[..., 0], drawn[..., 1])
    levels = np.array([spent_by(number, 0.05, planned) for number in range(1, 21)])
    assert (p <= levels).any(axis=1).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / tries)
    assert (p <= 0.05).any(axis=1).mean() > 0.4  # without spending


def test_the_rows_are_their_texts_in_whatever_order_and_with_whatever_labels(tmp_path) -> None:
    def digest(name: str, rows: list[tuple[str, str | None, int]]) -> str:
        (tmp_path / name).mkdir()
        columns = dict(zip(("text", "pair", "label"), map(list, zip(*rows, strict=True)), strict=True))
        parquet.write_table(pa.table(columns), tmp_path / name / "test.parquet")
        return rows_digest(tmp_path / name)

    one = digest("one", [("a", "x", 0), ("b", "y", 1)])
    assert digest("two", [("b", "y", 0), ("a", "x", 0)]) == one
    assert digest("three", [("a", "y", 0), ("b", "x", 1)]) != one
    assert digest("four", [("a", "x", 0), ("b", "y", 1), ("b", "y", 1)]) != one
