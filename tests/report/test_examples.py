import json

import numpy as np
import pytest
from scipy.special import softmax

from hone.tasks.objectives.judging import judging
from hone.tasks.report.examples import LONGEST_TEXT, MOST, disagreements

NAMES = ["no", "yes"]


def logits(*sureness):
    """[rows, 2]: above 0 says yes."""
    return np.array([[0.0, one] for one in sureness], dtype=np.float32)


def parted(labels, candidate, reference, **changes):
    labels = np.array(labels)
    texts = {"texts": [f"text {row}" for row in range(len(labels))], "pairs": None, "label_names": NAMES} | changes
    return disagreements(judging("text-classification"), labels, candidate, reference, **texts)


def test_lost_is_what_only_the_teacher_has_right_and_won_what_only_the_candidate_has():
    found = parted([1, 1, 1, 1], logits(2, -1, 3, -4), logits(2, 1, -3, -4))
    assert [row["row"] for row in found["lost"]] == [1]
    assert [row["row"] for row in found["won"]] == [2]
    assert (found["lost_rows"], found["won_rows"]) == (1, 1)
    told = found["lost"][0]
    assert {key: told[key] for key in ("text", "pair", "label", "reference", "candidate")} == {
        "text": "text 1",
        "pair": None,
        "label": "yes",
        "reference": "yes",
        "candidate": "no",
    }
    assert told["probability"] == pytest.approx(float(softmax([0.0, -1.0]).max()))


def test_the_surest_come_first_and_no_more_than_asked():
    sureness = np.linspace(0.1, 3, 2 * MOST)
    found = parted([0] * len(sureness), logits(*sureness), logits(*-sureness))
    assert [row["row"] for row in found["lost"]] == list(range(2 * MOST))[: MOST - 1 : -1]
    assert found["lost_rows"] == 2 * MOST
    assert found["won"] == []


def test_a_model_against_itself_loses_and_wins_nothing():
    same = logits(1, -1)
    assert parted([1, 1], same, same) == {"lost": [], "won": [], "lost_rows": 0, "won_rows": 0}


@pytest.mark.parametrize("answered", [None, logits(1.0, float("nan"))])
def test_answers_that_are_missing_or_no_numbers_give_no_examples(answered):
    assert parted([0, 0], answered, logits(1, 1))["lost_rows"] == 0
    assert parted([0, 0], logits(1, 1), answered)["won_rows"] == 0


def test_long_texts_are_cut_and_pairs_come_along():
    found = parted([1], logits(-1), logits(1), texts=["a" * 10_000], pairs=["b" * 10_000])
    assert len(found["lost"][0]["text"]) == len(found["lost"][0]["pair"]) == LONGEST_TEXT + 2


def test_examples_are_plain_values():
    large = np.array([[3e38, -3e38]], dtype=np.float32)
    json.dumps(parted([1], large, -large), allow_nan=False)
