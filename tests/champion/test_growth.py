"""Data that grow: a champion is judged on none of its own rows, and a model as good as it is accepted as ever."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from hone.tasks.data.clean import SCHEMA
from hone.tasks.data.split import split_off, with_keys
from hone.tasks.gate.paired import paired_difference
from hone.tasks.model.text import Rows, exclude_training_rows
from hone.tasks.objectives.text_classification.metrics import METRICS, statistics_of
from hone.tasks.text_key import text_key

ROWS, GROWTH, TIMES = 3000, 1.1, 5
MARGIN, LEVEL = 0.05, 0.05
NOISE = 0.15  # labels that are wrong: a model that knows its training rows by heart is right on them nonetheless


def corpus(rows: int, seed: int) -> Rows:
    """Eight words of a label's own or of neither, and a word that stands in this row alone."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, rows)
    words = draw.integers(0, 40, (rows, 8)) + np.where(draw.random((rows, 8)) < 0.3, 40 * (1 + labels[:, None]), 0)
    texts = [" ".join(f"w{word}" for word in row) + f" id{seed}x{place}" for place, row in enumerate(words)]
    return Rows(texts, None, np.where(draw.random(rows) < NOISE, 1 - labels, labels))


def splits_of(rows: Rows, seed: int) -> dict[str, Rows]:
    table = pa.table([rows.texts, [None] * len(rows), rows.labels, range(len(rows)), [[]] * len(rows)], schema=SCHEMA)
    split = split_off(with_keys(table), {"validation": 0.1, "test": 0.15}, ["a", "b"], seed)
    return {name: rows.pick(part["line"].to_pylist()) for name, part in split.items()}


def trained(rows: Rows):
    return make_pipeline(CountVectorizer(), LogisticRegression(C=100, solver="liblinear")).fit(rows.texts, rows.labels)


def accepted(candidate, champion, rows: Rows) -> bool:
    answers = [statistics_of(rows.labels, model.predict(rows.texts), 2) for model in (candidate, champion)]
    difference = paired_difference(*answers, METRICS["accuracy"], resamples=500, seed=0)
    return difference.low(LEVEL) > -MARGIN and difference.p_not_inferior(MARGIN) <= LEVEL


@dataclass
class Grown:
    """What became of one corpus."""

    learned_before_test: int = 0
    left_out: int = 0
    accepted: int = 0
    accepted_on_fresh_rows: int = 0
    memory: float = 0.0


@pytest.fixture(scope="module")
def grown() -> list[Grown]:
    found = []
    for seed in range(4):
        rows, fresh, told = corpus(6000, seed), corpus(500, 100 + seed), Grown()
        before, size = splits_of(rows.pick(range(ROWS)), seed), ROWS
        champion = trained(before["train"])
        told.memory = float((champion.predict(before["train"].texts) == before["train"].labels).mean())
        for _ in range(TIMES):
            size = round(size * GROWTH)
            now = splits_of(rows.pick(range(size)), seed)
            candidate = trained(now["train"])
            learned = {text_key(text) for split in ("train", "validation") for text in before[split].texts}
            told.learned_before_test += sum(text_key(text) in learned for text in now["test"].texts)
            fair = exclude_training_rows(now["test"], [before["train"], before["validation"]])
            told.left_out += len(now["test"]) - len(fair)
            told.accepted += accepted(candidate, champion, now["test"].pick(fair))
            told.accepted_on_fresh_rows += accepted(candidate, champion, fresh)
            before, champion = now, candidate
        found.append(told)
    return found


def test_no_champion_sees_a_row_of_its_own_in_a_test_split_however_often_the_data_grow(grown: list[Grown]) -> None:
    assert [told.memory > 0.99 for told in grown] == [True] * 4  # it would show
    assert [(told.learned_before_test, told.left_out) for told in grown] == [(0, 0)] * 4


def test_a_model_trained_again_on_more_of_the_same_is_accepted_at_its_usual_rate(grown: list[Grown]) -> None:
    here, fresh = (sum(getattr(told, name) for told in grown) for name in ("accepted", "accepted_on_fresh_rows"))
    assert here >= 16, here  # of 20
    assert abs(here - fresh) <= 4, (here, fresh)
