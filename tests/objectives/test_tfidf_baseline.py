import numpy as np
import pytest
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from hone.configs.delivery import EvaluateSettings
from hone.tasks.evaluate.from_text import time_baseline
from hone.tasks.model.text import Rows
from hone.tasks.objectives import tfidf
from hone.tasks.objectives.text_classification import baseline

TEXTS = ["a good film", "not good at all", "good, very good", "bad", "not bad", "a bad bad film", "awful !!", "fine :)"]
LABELS = np.array([1, 0, 1, 0, 1, 0, 0, 1])


def rows(texts, labels=None):
    return Rows(texts, None, np.zeros(len(texts), np.int64) if labels is None else labels)


def test_the_baseline_is_scikit_learns_pipeline():
    reference = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=tfidf.TERM, sublinear_tf=True),
        LogisticRegression(C=baseline.C, max_iter=1000),
    ).fit(TEXTS, LABELS)
    fitted = baseline.fit(rows(TEXTS, LABELS), 2)
    unseen = ["good", "not good", "a terrible film"]
    assert fitted.answers(rows(unseen)) == pytest.approx(reference.predict_log_proba(unseen), abs=1e-6)


def test_the_baseline_is_the_same_every_time():
    first, second = baseline.fit(rows(TEXTS, LABELS), 2), baseline.fit(rows(TEXTS, LABELS), 2)
    assert np.array_equal(first.answers(rows(TEXTS)), second.answers(rows(TEXTS)))


def test_pairs_of_words_say_what_words_alone_cannot():
    # An exclusive or: each of the three words stands as often under either label.
    texts = ["good film", "bad film", "not good film", "not bad film"]
    labels = np.array([1, 0, 0, 1])
    assert baseline.fit(rows(texts, labels), 2).answers(rows(texts)).argmax(axis=1).tolist() == labels.tolist()


def test_softmax_of_its_logits_are_its_probabilities_and_a_label_never_seen_has_none():
    logits = baseline.fit(rows(TEXTS, LABELS * 2), 3).answers(rows(TEXTS))
    assert logits.shape == (8, 3)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    assert probabilities.sum(axis=1) == pytest.approx(1.0)
    assert probabilities[:, 1].max() < 1e-20


def test_text_of_signs_alone_is_no_obstacle():
    fitted = baseline.fit(rows(["!!!", ":)", "???", ":D"], np.array([0, 1, 0, 1])), 2)
    assert fitted.answers(rows(["!!!", ":)"])).argmax(axis=1).tolist() == [0, 1]


def test_parameters_and_bytes_counted_by_hand():
    # Terms: a, b, "a b", "b a"; one row of coefficients and one intercept, as there are 2 labels; 4 weights of terms.
    fitted = baseline.fit(rows(["a b", "b a", "a b", "b a"], np.array([0, 1, 0, 1])), 2)
    assert sorted(fitted.vectorizer.vocabulary_) == ["a", "a b", "b", "b a"]
    assert fitted.parameters == 4 + 1 + 4
    assert fitted.size_bytes == (1 + 3 + 1 + 3) + 4 + 4 * 9


def test_a_pair_is_read_as_one_text():
    pairs = Rows(["a b", "c"], ["d", "e f"], np.array([0, 1]))
    assert tfidf.one_text(pairs) == ["a b d", "c e f"]


def test_the_baseline_is_timed_over_every_cell():
    settings = EvaluateSettings(cells=["1x4", "3x2"], samples=5, cell_seconds=0.2)
    fitted = baseline.fit(rows(TEXTS, LABELS), 2)
    timing = time_baseline(fitted, [["good", "bad"], ["a good film"]], settings)
    assert [len(samples) for samples in timing.milliseconds] == [5, 5]
    assert min(min(samples) for samples in timing.milliseconds) > 0
    assert {"good", "film", "!"} & set(fitted.words) == {"good", "film"}
