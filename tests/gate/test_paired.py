"""How far one model is from another on the same rows: against scikit-learn, and by simulation."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from hone.tasks.gate.exact import exact_p
from hone.tasks.gate.paired import paired_difference
from hone.tasks.objectives.text_classification.metrics import METRICS, statistics_of


def split(won: int, lost: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two predictions of two labels: both right but on `won + lost` rows."""
    labels = np.arange(rows) % 2
    candidate, reference = labels.copy(), labels.copy()
    reference[:won] = 1 - labels[:won]
    candidate[won : won + lost] = 1 - labels[won : won + lost]
    return labels, candidate, reference


def of_labels(labels, candidate, reference, metric: str, resamples: int = 10, seed: int = 0):
    size = 1 + int(max(labels.max(), candidate.max(), reference.max()))
    pair = (statistics_of(labels, answers, size) for answers in (candidate, reference))
    return paired_difference(*pair, METRICS[metric], resamples=resamples, seed=seed)


def compare(won: int, lost: int, rows: int, metric: str = "accuracy", resamples: int = 2000, seed: int = 0):
    return of_labels(*split(won, lost, rows), metric, resamples, seed)


@pytest.mark.parametrize("metric", METRICS)
def test_the_metrics_are_scikit_learns(metric: str) -> None:
    chance = np.random.default_rng(1)
    labels, candidate, reference = (chance.integers(0, 4, 200) for _ in range(3))
    labels[labels == 3] = 0  # a label that is predicted and never true
    found = of_labels(labels, candidate, reference, metric)

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


def test_rows_drawn_together_or_one_by_one_are_the_bootstrap_of_rows() -> None:
    chance, metric = np.random.default_rng(3), METRICS["macro_f1"]
    labels, candidate, reference = (chance.integers(0, 3, 150) for _ in range(3))
    pair = [statistics_of(labels, answers, 3) for answers in (candidate, reference)]
    by_rows = []
    for _ in range(1000):
        rows = chance.integers(0, 150, 150)
        by_rows.append(metric.of(pair[0][rows]) - metric.of(pair[1][rows]))
    found = [paired_difference(*pair, metric, resamples=4000, seed=0)]  # whole numbers: by kind of row
    found.append(paired_difference(*(one.astype(float) for one in pair), metric, resamples=4000, seed=0))
    assert found[0].value == found[1].value == metric.of(pair[0]) - metric.of(pair[1])
    for one in found:
        assert one.draws.mean() == pytest.approx(np.mean(by_rows), abs=3 * np.std(by_rows) / np.sqrt(800))
        assert one.draws.std() == pytest.approx(np.std(by_rows), rel=0.075)  # three standard errors


def test_of_a_few_disagreements_another_metric_is_no_surer_than_the_exact_test() -> None:
    few = compare(0, 0, 60, metric="macro_f1")
    assert few.p_not_inferior(0.02) == exact_p(0, 0, 60, 0.02) > 0.05
    assert few.low(0.05) < -0.02 < 0 < few.high(0.05)
    assert compare(0, 0, 200, metric="macro_f1").p_not_inferior(0.02) < 0.05


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_few_resamples_make_no_level_unreachable(metric: str) -> None:
    good, bad = compare(60, 40, 2000, metric, resamples=200), compare(10, 200, 2000, metric, resamples=200)
    for level in (0.05, 0.05 / 60, 1e-4):
        assert good.p_not_inferior(0.02) <= level
        assert good.low(level) > -0.02
        assert bad.p_inferior(0.02) <= level
        assert bad.high(level) < -0.02


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize(("won", "lost"), [(30, 40), (5, 60), (0, 0), (3, 9)])
def test_bounds_and_p_values_agree(metric: str, won: int, lost: int) -> None:
    found = compare(won, lost, 800, metric)
    low, high = found.low(0.05), found.high(0.05)
    assert low <= found.value <= high
    assert found.p_not_inferior(-(low - 1e-3)) <= 0.05 < found.p_not_inferior(-(low + 2e-3))
    assert found.p_inferior(-(high + 1e-3)) <= 0.05 < found.p_inferior(-(high - 2e-3))
    assert found.smallest_margin(0.05) == max(0, -low)


def settled(won: float, lost: float, rows: int, margin: float, level: float, evaluations: int = 250) -> float:
    """Share of simulated evaluations, each of so many rows, that show the margin or that it is missed."""
    drawn = np.random.default_rng(5).multinomial(rows, [won, lost, 1 - won - lost], size=evaluations)
    shown = [
        exact_p(int(a), int(b), rows, margin) <= level or exact_p(int(b), int(a), rows, -margin) <= level
        for a, b, _ in drawn
    ]
    return float(np.mean(shown))


@pytest.mark.parametrize(
    ("won", "lost", "rows", "margin"), [(15, 24, 600, 0.03), (4, 9, 200, 0.06), (4, 28, 500, 0.02)]
)
def test_the_rows_asked_for_settle_it_with_four_chances_in_five(won: int, lost: int, rows: int, margin: float) -> None:
    needed = compare(won, lost, rows).rows_needed(margin, 0.05)
    assert needed is not None
    assert needed > rows
    chance = settled(won / rows, lost / rows, needed, margin, 0.05)
    assert 0.72 <= chance <= 0.9  # measured 0.79, 0.80 and 0.79; 0.075 is 3 standard errors


def test_without_a_disagreement_the_exact_test_says_how_many_rows_it_takes() -> None:
    needed = compare(0, 0, 20).rows_needed(0.1, 0.05)
    assert needed is not None
    assert exact_p(0, 0, needed, 0.1) <= 0.05 < exact_p(0, 0, needed - 3, 0.1)


@given(won=st.integers(0, 12), lost=st.integers(0, 12), rest=st.integers(0, 200), margin=st.sampled_from([0.02, 0.1]))
@example(won=3, lost=7, rest=189, margin=0.02)
@settings(max_examples=60, deadline=None)
def test_where_it_is_open_more_rows_are_asked_for_than_there_are(won: int, lost: int, rest: int, margin: float) -> None:
    rows = max(1, won + lost + rest)
    found = compare(won, lost, rows, resamples=200)
    needed = found.rows_needed(margin, 0.05)
    if found.p_not_inferior(margin) > 0.05 and found.p_inferior(margin) > 0.05:
        assert needed is None or needed > rows
        if needed is None:  # at the margin, or so near to it that nobody has as many rows
            assert abs(found.value + margin) < 2e-3
        else:
            assert abs(found.value + margin) >= 1e-9


def test_at_the_margin_itself_no_number_of_rows_settles_it() -> None:
    assert compare(won=10, lost=40, rows=1500).rows_needed(0.02, 0.05) is None
