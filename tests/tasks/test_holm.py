"""The correction of several p values."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from hone.tasks.holm import holm


def test_it_is_worked_by_hand() -> None:
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])  # 3 * 0.01, 2 * 0.02, 1 * 0.5
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])  # none below the one before
    assert holm([]) == []


def test_it_is_that_of_statsmodels() -> None:
    drawn = np.random.default_rng(0).random(9).tolist()
    assert holm(drawn) == pytest.approx(multipletests(drawn, method="holm")[1].tolist())
