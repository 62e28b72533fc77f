import numpy as np
import pytest
from scipy import stats

from hone.tasks.gate.speed import Measured, percentile, speedup


def calls(median: float, rounds: int = 3, count: int = 100, between: float = 0.0, seed: int = 0) -> list[list[float]]:
    """Log-normal calls; `between` is the spread from round to round."""
    rng = np.random.default_rng(seed)
    return [(median * np.exp(rng.normal(0, between) + rng.normal(0, 0.1, count))).tolist() for _ in range(rounds)]


def test_the_ratio_is_the_geometric_mean_over_the_cells() -> None:
    fast, slow = [[[1.0] * 9] * 2, [[10.0] * 9] * 2], [[[4.0] * 9] * 2, [[90.0] * 9] * 2]
    measured = speedup(fast, slow, resamples=200, seed=0)
    assert measured.value == pytest.approx(6.0)
    assert measured.low(0.05) == measured.high(0.05) == pytest.approx(6.0)


def test_the_interval_holds_the_ratio_and_narrows_with_more_calls() -> None:
    few = speedup([calls(1, count=20)], [calls(5, count=20, seed=1)], resamples=2000, seed=0)
    many = speedup([calls(1, count=500)], [calls(5, count=500, seed=1)], resamples=2000, seed=0)
    assert few.low(0.05) < 5 < few.high(0.05)
    assert many.high(0.05) - many.low(0.05) < few.high(0.05) - few.low(0.05)


def test_rounds_that_differ_widen_the_interval_whatever_the_number_of_calls() -> None:
    steady = speedup([calls(1, count=500)], [calls(5, count=500, seed=1)], resamples=2000, seed=0)
    shaken = speedup([calls(1, 5, 500, between=0.3)], [calls(5, 5, 500, seed=1)], resamples=2000, seed=0)
    assert shaken.high(0.05) - shaken.low(0.05) > 3 * (steady.high(0.05) - steady.low(0.05))


def test_rounds_that_slow_both_models_alike_leave_the_ratio_certain() -> None:
    pace = [1.0, 2.0, 3.0]
    fast = [[pace[i] * call for call in one] for i, one in enumerate(calls(1, count=300))]
    slow = [[pace[i] * call for call in one] for i, one in enumerate(calls(5, count=300, seed=1))]
    apart = speedup([fast], [slow], resamples=2000, seed=0)
    assert apart.low(0.05) > 4.5
    assert apart.high(0.05) < 5.5


@pytest.mark.parametrize("rounds", [2, 3, 8])
def test_the_interval_covers_the_true_ratio_as_often_as_it_says(rounds: int) -> None:
    covered = 0
    for seed in range(200):
        fast, slow = calls(1, rounds, 30, 0.1, seed), calls(4, rounds, 30, 0.1, 1000 + seed)
        covered += speedup([fast], [slow], resamples=300, seed=seed).low(0.05) <= 4
    assert covered / 200 >= 0.93  # the bootstrap's own bound: 0.84 at 2 rounds


def test_of_a_single_round_nothing_is_known() -> None:
    measured = speedup([calls(1, rounds=1)], [calls(5, rounds=1, seed=1)], resamples=500, seed=0)
    assert (measured.low(0.05), measured.high(0.05)) == (0.0, np.inf)
    assert (measured.p_above(1.0), measured.p_below(9.0)) == (1.0, 1.0)
    assert measured.rounds_needed(2.0, 0.05) is None


def test_bounds_and_p_values_agree() -> None:
    measured = speedup([calls(1, 4, between=0.1)], [calls(5, 4, between=0.1, seed=1)], resamples=500, seed=0)
    for level in (0.05, 1e-5):
        assert measured.p_above(measured.low(level)) == pytest.approx(level)
        assert measured.p_below(measured.high(level)) == pytest.approx(level)


def test_the_rounds_asked_for_settle_it_with_four_chances_in_five() -> None:
    rng, spread, rounds = np.random.default_rng(0), 0.1, 4
    draws = np.sort(np.exp(np.log(2.0) + rng.normal(0, spread * np.sqrt(3) / 4, 4000)))
    few = Measured(2.0, draws, rounds)
    needed = few.rounds_needed(1.85, 0.05)
    assert needed is not None
    logs = np.log(2.0) + rng.normal(0, spread, (4000, needed))
    shown = logs.mean(axis=1) - stats.t.isf(0.05, needed - 1) * logs.std(axis=1, ddof=1) / np.sqrt(needed)
    assert 0.75 <= (shown > np.log(1.85)).mean() <= 0.9


def test_the_p95_is_numpys() -> None:
    cell = calls(3, count=400)
    measured = percentile(cell, 0.95, resamples=500, seed=0)
    assert measured.value == pytest.approx(np.quantile(np.concatenate(cell), 0.95))
    assert measured.low(0.05) < measured.value < measured.high(0.05)


def test_cells_or_rounds_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="1 and 2 cells"):
        speedup([calls(1)], [calls(1), calls(1)], resamples=200, seed=0)
    with pytest.raises(ValueError, match="each has to be in every round"):
        speedup([calls(1, rounds=2)], [calls(1, rounds=3)], resamples=200, seed=0)
