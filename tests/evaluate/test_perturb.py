import random

import numpy as np
import pytest

from hone.configs.delivery import EvaluateSettings
from hone.tasks.evaluate import perturb
from hone.tasks.model.text import Rows

TEXT = "A remarkably tender film, and a quiet one; nothing in it is louder than it has to be."
ROWS = Rows(texts=[TEXT] * 50, pairs=None, labels=np.zeros(50, np.int64))


@pytest.mark.parametrize("how", perturb.PERTURBATIONS)
def test_the_same_seed_perturbs_the_same_way_and_another_differently(how: str) -> None:
    first, again, other = (perturb.perturb(ROWS, how, seed) for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert first.texts == again.texts
    assert first.texts != other.texts
    assert first.texts != ROWS.texts
    assert all(first.texts)


def test_every_perturbation_of_the_settings_is_there() -> None:
    assert EvaluateSettings(robustness=list(perturb.PERTURBATIONS)).robustness == list(perturb.PERTURBATIONS)


def test_a_typing_error_changes_one_letter_or_two_in_a_tenth_of_the_longer_words() -> None:
    rng = random.Random(0)
    words = "remarkably " * 5000
    changed = sum(word != "remarkably" for word in perturb.typos(words, rng).split())
    assert 400 < changed < 600
    assert all(abs(len(word) - 10) <= 1 for word in perturb.typos(words, rng).split())


def test_case_and_punctuation_leave_the_letters() -> None:
    rng = random.Random(0)
    for change in (perturb.case, perturb.punctuation):
        for _ in range(20):
            letters = [letter for letter in change(TEXT, rng).lower() if letter.isalpha()]
            assert letters == [letter for letter in TEXT.lower() if letter.isalpha()]


def test_a_text_of_nothing_but_signs_is_not_emptied() -> None:
    assert all(perturb.punctuation("?!", random.Random(seed)) for seed in range(10))
