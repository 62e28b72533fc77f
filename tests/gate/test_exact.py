"""The exact test of two accuracies: against scipy, by its laws, and by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from hone.tasks.gate.exact import exact_high, exact_low, exact_p


@given(won=st.integers(0, 60), lost=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_without_a_margin_it_is_mcnemars(won: int, lost: int) -> None:
    expected = binomtest(won, won + lost, 0.5, alternative="greater").pvalue if won + lost else 1.0
    assert exact_p(won, lost, 500, margin=0) == pytest.approx(expected, abs=1e-12)


def test_no_disagreement_on_a_few_rows_shows_little() -> None:
    """The chance of none at the margin itself is 0.98 ** rows, where only the candidate errs."""
    assert exact_p(0, 0, 90, margin=0.02) == pytest.approx(0.98**90, rel=0.01)
    assert exact_p(0, 0, 200, 0.02) < 0.05


@given(won=st.integers(0, 40), lost=st.integers(0, 40), rows=st.integers(100, 3000))
@settings(max_examples=30, deadline=None)
def test_a_win_more_never_speaks_against_the_candidate(won: int, lost: int, rows: int) -> None:
    assert exact_p(won + 1, lost, rows, 0.02) <= exact_p(won, lost, rows, 0.02) + 1e-9
    assert exact_p(won, lost, rows, 0.03) <= exact_p(won, lost, rows, 0.02) + 1e-9
    assert exact_p(lost, won + 1, rows, -0.02) >= exact_p(lost, won, rows, -0.02) - 1e-9


def test_one_row_fewer_that_disagrees_takes_nothing_from_a_hopeless_result() -> None:
    assert exact_p(4, 9, 100, -0.02) >= exact_p(4, 8, 100, -0.02) - 1e-9


def shown(rows: int, won: float, lost: float, margin: float, evaluations: int, level: float = 0.05) -> float:
    """Share of simulated evaluations in which the margin is shown to be kept, or of a negative one to be missed."""
    drawn = np.random.default_rng(5).multinomial(rows, [won, lost, 1 - won - lost], size=evaluations)
    pairs, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    low = np.array([exact_p(int(a), int(b), rows, margin) <= level for a, b in pairs])
    return float((low * times).sum() / evaluations)


@pytest.mark.parametrize(
    ("rows", "won", "lost", "margin"),
    [(1821, 0.02, 0.04, 0.02), (500, 0.0, 0.02, 0.02), (500, 0.01, 0.03, 0.02), (60, 0.05, 0.15, 0.1)],
)
def test_at_the_margin_itself_neither_direction_is_shown_more_often_than_the_level(
    rows: int, won: float, lost: float, margin: float
) -> None:
    evaluations = 250 if rows > 1000 else 1500
    above_level = 3 * np.sqrt(0.05 * 0.95 / evaluations)
    assert shown(rows, won, lost, margin, evaluations) <= 0.05 + above_level  # kept, although it just is not
    assert shown(rows, lost, won, -margin, evaluations) <= 0.05 + above_level  # missed, although it just is not


def test_an_equal_model_is_shown_on_5000_rows_at_a_margin_of_one_point() -> None:
    assert shown(5000, 0.02, 0.02, 0.01, evaluations=60) >= 0.9  # measured 0.97


def test_the_bounds_are_where_the_test_turns_and_mirror_each_other() -> None:
    low, high = exact_low(30, 40, 1500, 0.05), exact_high(30, 40, 1500, 0.05)
    assert low < -10 / 1500 < high
    assert exact_p(30, 40, 1500, -low) <= 0.05 < exact_p(30, 40, 1500, -low - 2e-4)
    assert high == -exact_low(40, 30, 1500, 0.05)


@pytest.mark.parametrize(("won", "lost", "rows"), [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 3), (3, 0, 3), (0, 3, 3)])
def test_a_handful_of_rows_has_bounds_that_show_next_to_nothing(won: int, lost: int, rows: int) -> None:
    low, high = exact_low(won, lost, rows, 0.05), exact_high(won, lost, rows, 0.05)
    assert -1 <= low <= (won - lost) / rows <= high <= 1
    assert high - low > 0.5
