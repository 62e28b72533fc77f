"""What a person would try first: TF-IDF with logistic regression. What does not beat it is not worth a transformer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from configs.delivery import EvaluateSettings
from tasks.evaluate.latency import Timing
from tasks.evaluate.stopwatch import call_repeatedly
from tasks.model.text import Rows

# With 2 terms a word, a million rows would otherwise make a matrix of labels x millions of terms.
MAX_TERMS = 100_000
# A word, or a run of signs: text without a single letter still has terms.
TERM = r"\w+|[^\w\s]+"
# Rows of TF-IDF have length 1, which leaves the default C = 1 strongly over-regularised: on SST-2 it costs 4 points.
C = 10.0


@dataclass(frozen=True)
class Floor:
    """The fitted floor. It lives in the process that fitted it, as scikit-learn is stored in pickles."""

    vectorizer: TfidfVectorizer
    classifier: LogisticRegression
    labels: int

    @property
    def parameters(self) -> int:
        """Weights of terms and labels."""
        return int(self.classifier.coef_.size + self.classifier.intercept_.size + self.vectorizer.idf_.size)

    @property
    def size_bytes(self) -> int:
        """Its terms as UTF-8 and its weights as fp32: what a file of it could not do without."""
        return sum(len(term.encode()) + 1 for term in self.vectorizer.vocabulary_) + 4 * self.parameters

    def logits(self, texts: list[str]) -> np.ndarray:
        """Log-probabilities [rows, labels] float32; a label that never occurred in training gets -60."""
        known = self.classifier.predict_log_proba(self.vectorizer.transform(texts))
        logits = np.full((len(texts), self.labels), -60.0, dtype=np.float32)
        logits[:, self.classifier.classes_] = np.maximum(known, -60.0)
        return logits

    @property
    def words(self) -> list[str]:
        """That it knows, in their order."""
        return sorted(term for term in self.vectorizer.vocabulary_ if " " not in term)

    def time(self, cells: Sequence[list[str]], settings: EvaluateSettings) -> Timing:
        """Times it in this process, on one core, from the text on: what counts words is most of it.

        Args:
            cells: texts of each cell.
        """
        milliseconds = [
            call_repeatedly(partial(self.logits, texts), settings.samples, settings.cell_seconds) for texts in cells
        ]
        return Timing(providers=["cpu"], load_seconds=0.0, peak_memory_bytes=0, milliseconds=milliseconds)


def one_text(rows: Rows) -> list[str]:
    """The texts of a split, each with its second text behind it where the task has pairs."""
    if rows.pairs is None:
        return rows.texts
    return [f"{text} {pair}" for text, pair in zip(rows.texts, rows.pairs, strict=True)]


def fit(texts: list[str], labels: np.ndarray, label_count: int) -> Floor:
    """Fits the floor: word 1- and 2-grams, the same on every run.

    Args:
        texts: [rows].
        labels: [rows] integers in 0..label_count-1.

    Source: Wang and Manning, Baselines and Bigrams (2012), for how strong this is.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=TERM, sublinear_tf=True, max_features=MAX_TERMS)
    classifier = LogisticRegression(C=C, max_iter=1000)
    classifier.fit(vectorizer.fit_transform(texts), labels)
    return Floor(vectorizer, classifier, label_count)
