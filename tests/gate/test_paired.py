"""How far one classifier is from another on the same rows: against scikit-learn, scipy, and by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from tasks.gate.paired import METRICS, exact_p, paired_difference


def split(won: int, lost: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two predictions of two labels: both right but on `won + lost` rows."""
    labels = np.arange(rows) % 2
    candidate, reference = labels.copy(), labels.copy()
    reference[:won] = 1 - labels[:won]
    candidate[won : won + lost] = 1 - labels[won : won + lost]
    return labels, candidate, reference


def compare(won: int, lost: int, rows: int, metric: str = "accuracy", resamples: int = 2000, seed: int = 0):
    return paired_difference(*split(won, lost, rows), metric, resamples=resamples, seed=seed)


@pytest.mark.parametrize("metric", METRICS)
def test_the_metrics_are_scikit_learns(metric: str) -> None:
    chance = np.random.default_rng(1)
    labels, candidate, reference = (chance.integers(0, 4, 200) for _ in range(3))
    labels[labels == 3] = 0  # a label that is predicted and never true
    found = paired_difference(labels, candidate, reference, metric, resamples=10, seed=0)

    def score(predicted: np.ndarray) -> float:
        macro = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0.0)
        return {
            "accuracy": accuracy_score(labels, predicted),
            "precision": macro[0],
            "recall": macro[1],
            "macro_f1": macro[2],
        }[metric]

    assert found.value == pytest.approx(score(candidate) - score(reference), abs=1e-12)


def test_the_spread_of_the_bootstrap_is_that_of_a_paired_difference() -> None:
    found = compare(won=60, lost=40, rows=2000, resamples=20_000)
    share = np.array([60, 40]) / 2000
    by_hand = np.sqrt((share.sum() - (share[0] - share[1]) ** 2) / 2000)
    assert found.value == pytest.approx(0.01)
    assert found.draws.std() == pytest.approx(by_hand, rel=0.03)
    assert found.low(0.05) == pytest.approx(0.01 - 1.645 * by_hand, abs=3e-4)


def test_counts_drawn_together_are_the_bootstrap_of_rows() -> None:
    chance = np.random.default_rng(3)
    labels, candidate, reference = (chance.integers(0, 3, 150) for _ in range(3))
    found = paired_difference(labels, candidate, reference, "macro_f1", resamples=4000, seed=0)
    by_rows = []
    for _ in range(1500):
        rows = chance.integers(0, 150, 150)
        scores = [
            precision_recall_fscore_support(labels[rows], predicted[rows], average="macro", zero_division=0.0)[2]
            for predicted in (candidate, reference)
        ]
        by_rows.append(scores[0] - scores[1])
    assert found.draws.mean() == pytest.approx(np.mean(by_rows), abs=0.006)
    assert found.draws.std() == pytest.approx(np.std(by_rows), rel=0.08)


@given(won=st.integers(0, 60), lost=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_without_a_margin_the_exact_test_is_mcnemars(won: int, lost: int) -> None:
    expected = binomtest(won, won + lost, 0.5, alternative="greater").pvalue if won + lost else 1.0
    assert exact_p(won, lost, 500, margin=0) == pytest.approx(expected, abs=1e-12)


def test_no_disagreement_on_a_few_rows_shows_little() -> None:
    """Without one disagreement the bootstrap is certain; the chance of that at the margin itself is 0.98 ** rows."""
    assert exact_p(0, 0, 90, margin=0.02) == pytest.approx(0.98**90, rel=0.01)
    assert compare(0, 0, 90).p_not_inferior(0.02) > 0.15
    assert compare(0, 0, 200).p_not_inferior(0.02) < 0.05


@given(won=st.integers(0, 40), lost=st.integers(0, 40), rows=st.integers(100, 3000))
@settings(max_examples=30, deadline=None)
def test_a_win_more_never_speaks_against_the_candidate(won: int, lost: int, rows: int) -> None:
    assert exact_p(won + 1, lost, rows, 0.02) <= exact_p(won, lost, rows, 0.02) + 1e-9
    assert exact_p(won, lost, rows, 0.03) <= exact_p(won, lost, rows, 0.02) + 1e-9


def accepted(rows: int, won: float, lost: float, margin: float, evaluations: int, seed: int) -> float:
    """Share of simulated evaluations that show the margin, as the gate decides it at level 0.05."""
    chance = np.random.default_rng(seed)
    passed = 0
    for number in range(evaluations):
        wins, losses, _ = chance.multinomial(rows, [won, lost, 1 - won - lost])
        found = compare(int(wins), int(losses), rows, resamples=400, seed=number)
        # The exact test costs most: it is asked where the bootstrap has not said no already.
        passed += found.low(0.05) > -margin and found.p_not_inferior(margin) <= 0.05
    return passed / evaluations


@pytest.mark.parametrize(
    ("rows", "won", "lost", "margin"),
    [(1821, 0.02, 0.04, 0.02), (500, 0.0, 0.02, 0.02), (5000, 0.015, 0.025, 0.01)],
)
def test_at_the_margin_itself_a_model_is_accepted_no_more_often_than_the_level(
    rows: int, won: float, lost: float, margin: float
) -> None:
    # Measured 0.046, 0.026 and 0.047; 0.065 is 3 standard errors above the level.
    assert accepted(rows, won, lost, margin, evaluations=2000, seed=5) <= 0.065


def test_an_equal_model_is_accepted_on_5000_rows_at_a_margin_of_one_point() -> None:
    assert accepted(5000, 0.02, 0.02, 0.01, evaluations=400, seed=6) >= 0.9  # measured 0.97


def test_the_smallest_margin_is_where_the_decision_turns() -> None:
    found = compare(won=30, lost=40, rows=1500)
    smallest = found.smallest_margin(0.05)
    assert found.p_not_inferior(smallest + 1e-3) <= 0.05 < found.p_not_inferior(smallest - 1e-3)


def test_the_rows_needed_settle_it_if_nothing_else_changes() -> None:
    found = compare(won=30, lost=45, rows=1500)
    assert found.p_not_inferior(0.015) > 0.05
    needed = found.rows_needed(0.015, 0.05)
    assert needed is not None
    assert needed > 1500
    factor = 1.2 * needed / 1500
    more = compare(round(30 * factor), round(45 * factor), round(1500 * factor))
    assert more.p_not_inferior(0.015) <= 0.05


def test_at_the_margin_itself_no_number_of_rows_settles_it() -> None:
    assert compare(won=10, lost=40, rows=1500).rows_needed(0.02, 0.05) is None
