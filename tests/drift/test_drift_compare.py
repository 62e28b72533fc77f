"""Indices and tests of drift: worked by hand, and by simulation what is called drift and what is not."""

import math

import numpy as np
import pytest

from hone.tasks.drift.compare import (
    RESAMPLES,
    compare_categories,
    compare_columns,
    compare_numbers,
    compare_words,
    stability_index,
)


def counts(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_the_index_is_what_a_hand_makes_of_it() -> None:
    """Shares 0.5 and 0.5 become 0.8 and 0.2; half a row more in 10,000 changes the fourth digit."""
    expected = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    found = stability_index(counts(5000, 5000), counts(8000, 2000))
    assert found == pytest.approx(expected, abs=1e-3)
    assert expected == pytest.approx(0.4159, abs=1e-4)


def test_the_index_of_equal_shares_is_0_and_does_not_depend_on_which_came_first() -> None:
    assert stability_index(counts(30, 10), counts(30, 10)) == 0
    assert stability_index(counts(30, 10), counts(5, 20)) == stability_index(counts(5, 20), counts(30, 10))


def test_a_category_that_is_new_or_gone_gives_a_finite_index_and_one_that_is_in_neither_counts_for_nothing() -> None:
    assert 1 < stability_index(counts(100, 0), counts(50, 50)) < 10
    assert stability_index(counts(9, 0, 4), counts(3, 0, 8)) == stability_index(counts(9, 4), counts(3, 8))


def test_the_chi_squared_test_is_the_one_of_the_text_book() -> None:
    """2 x 2 with 30/20 against 15/35: statistic 100 (30*35 - 20*15)^2 / (50*50*45*55) = 9.0909, one degree."""
    found = compare_categories(counts(30, 20), counts(15, 35))
    assert found.p_value == pytest.approx(math.erfc(math.sqrt(9.090909 / 2)), rel=1e-6)


def test_one_category_alone_cannot_drift() -> None:
    assert compare_categories(counts(10, 0), counts(7, 0)).p_value == 1


def test_numbers_that_are_all_the_same_have_not_drifted_and_any_other_shows_on_either_side() -> None:
    same = np.full(50, 3.0)
    assert compare_numbers(same, same).index == 0
    for other in (2.0, 4.0):
        found = compare_numbers(same, np.full(50, other))
        assert found.index > 5
        assert found.p_value < 1e-9


def test_larger_alone_is_asked_for_where_smaller_is_no_harm() -> None:
    low, high = np.linspace(0, 1, 200), np.linspace(0.5, 1.5, 200)
    assert compare_numbers(low, high, only_larger=True).p_value < 1e-9
    assert compare_numbers(high, low, only_larger=True).p_value > 0.9


def test_without_drift_a_test_is_below_a_level_as_often_as_the_level_says() -> None:
    """400 pairs of samples from one distribution: at level 0.05 about 20 are found, and 33 or more have a chance of
    0.3%."""
    draw = np.random.default_rng(0)
    numbers = [compare_numbers(draw.normal(size=300), draw.normal(size=200)) for _ in range(400)]
    labels = [
        compare_categories(draw.multinomial(300, [0.5, 0.3, 0.2]), draw.multinomial(200, [0.5, 0.3, 0.2]))
        for _ in range(400)
    ]
    for found in (numbers, labels):
        assert sum(one.p_value <= 0.05 for one in found) < 33
        assert np.median([one.index for one in found]) < 0.1


def test_without_drift_the_permutation_test_of_words_is_even() -> None:
    draw = np.random.default_rng(1)
    p_values = [
        compare_words(draw.poisson(0.4, size=(60, 12)), draw.poisson(0.4, size=(40, 12)), seed).p_value
        for seed in range(40)
    ]
    assert sum(p <= 0.05 for p in p_values) <= 6
    assert 0.3 < np.mean(p_values) < 0.7


def test_other_words_are_found_although_the_index_of_few_rows_is_large_either_way() -> None:
    draw = np.random.default_rng(2)
    before, same = (draw.poisson(0.4, size=(60, 30)) for _ in range(2))
    shifted = draw.poisson(np.linspace(0.1, 0.7, 30), size=(60, 30))
    assert compare_words(before, same, 0).p_value > 0.01
    assert compare_words(before, shifted, 0).p_value == pytest.approx(1 / (RESAMPLES + 1))


def test_words_that_differ_a_little_have_the_p_value_of_all_resamples_although_the_test_ends_early() -> None:
    draw = np.random.default_rng(4)
    before, now = draw.poisson(0.4, size=(80, 10)), draw.poisson(np.linspace(0.28, 0.52, 10), size=(70, 10))
    counts, places = np.concatenate([before, now]), np.arange(150)
    observed, reached = compare_words(before, now, 0), 0
    for _ in range(4000):
        places = draw.permutation(places)
        old, new = (counts[part].sum(axis=0) for part in (places[:80], places[80:]))
        reached += stability_index(old, new) >= observed.index
    assert observed.p_value == pytest.approx(reached / 4000, rel=0.6)
    assert 0.005 < observed.p_value < 0.5


def test_a_shift_in_one_of_several_columns_is_found() -> None:
    draw = np.random.default_rng(3)
    before, now = draw.normal(size=(300, 5)), draw.normal(size=(300, 5))
    assert compare_columns(before, now).p_value > 0.01
    now[:, 3] += 1
    found = compare_columns(before, now)
    assert found.p_value < 1e-6
    assert found.index > 0.5
