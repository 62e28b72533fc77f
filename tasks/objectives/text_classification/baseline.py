"""What a person would try first: TF-IDF with logistic regression. What does not beat it is not worth a transformer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from hone.tasks.objectives import tfidf
from hone.tasks.objectives.judging import Answers

if TYPE_CHECKING:
    from hone.tasks.model.text import Rows

# Rows of TF-IDF have length 1, which leaves the default C = 1 strongly over-regularised: on SST-2 it costs 4 points.
C = 10.0


@dataclass(frozen=True)
class TfidfBaseline:
    """The fitted baseline. It lives in the process that fitted it, as scikit-learn is stored in pickles."""

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
        return tfidf.term_bytes(self.vectorizer) + 4 * self.parameters

    @property
    def words(self) -> list[str]:
        """That it knows, in their order."""
        return tfidf.words_of(self.vectorizer)

    def answers(self, rows: "Rows") -> Answers:
        """Log-probabilities [rows, labels] float32; a label that never occurred in training gets -60."""
        known = self.classifier.predict_log_proba(self.vectorizer.transform(tfidf.one_text(rows)))
        logits = np.full((len(rows), self.labels), -60.0, dtype=np.float32)
        logits[:, self.classifier.classes_] = np.maximum(known, -60.0)
        return logits


def fit(train: "Rows", label_count: int) -> TfidfBaseline:
    """Fits it: word 1- and 2-grams, the same on every run.

    Args:
        train: their labels are integers in 0..label_count-1.

    Source: Wang and Manning, Baselines and Bigrams (2012), for how strong this is.
    """
    vectorizer = tfidf.vectorizer()
    classifier = LogisticRegression(C=C, max_iter=1000)
    classifier.fit(vectorizer.fit_transform(tfidf.one_text(train)), train.labels)
    return TfidfBaseline(vectorizer, classifier, label_count)
