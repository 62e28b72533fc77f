"""What a person would try first: TF-IDF with a logistic regression for each label."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from hone.tasks.objectives import tfidf
from hone.tasks.objectives.multi_label_classification.threshold import GRID, LOGITS, best, logit

if TYPE_CHECKING:
    from hone.tasks.model.text import Rows

C = 10.0
"""As of the baseline of one label."""
HELD_OUT = 5
"""One of so many training rows chooses the threshold, before the regressions see them all."""
CERTAIN = 30.0
"""Logit of a label that every training row has, or none: nothing can be fitted to it."""


@dataclass(frozen=True)
class OneVersusRest:
    """The fitted baseline."""

    vectorizer: TfidfVectorizer
    weights: npt.NDArray[np.float64]
    """[terms, labels]."""
    offsets: npt.NDArray[np.float64]
    """[labels]."""
    threshold: float

    @property
    def parameters(self) -> int:
        """Weights of terms and labels."""
        return int(self.weights.size + self.offsets.size + self.vectorizer.idf_.size)

    @property
    def size_bytes(self) -> int:
        """Its terms as UTF-8 and its weights as fp32."""
        return tfidf.term_bytes(self.vectorizer) + 4 * self.parameters

    @property
    def words(self) -> list[str]:
        """That it knows, in their order."""
        return tfidf.words_of(self.vectorizer)

    def answers(self, rows: "Rows") -> Any:
        """Logits [rows, labels] float32, less that of its threshold."""
        terms = self.vectorizer.transform(tfidf.one_text(rows))
        return np.asarray(terms @ self.weights + self.offsets - logit(self.threshold), np.float32)


def fit(train: "Rows") -> OneVersusRest:
    """Fits it, the same on every run.

    Args:
        train: their labels are flags [rows, labels].
    """
    vectorizer, flags = tfidf.vectorizer(), train.labels > 0
    terms = vectorizer.fit_transform(tfidf.one_text(train))
    held_out = np.arange(len(flags)) % HELD_OUT == 0
    weights, offsets = _fit(terms[~held_out], flags[~held_out])
    given = (terms[held_out] @ weights + offsets)[None] > LOGITS[:, None, None]
    right = (given & flags[held_out]).sum(axis=(1, 2), dtype=np.float64)
    index = best(float(flags[held_out].sum()), given.sum(axis=(1, 2), dtype=np.float64), right)
    return OneVersusRest(vectorizer, *_fit(terms, flags), float(GRID[index]))


def _fit(terms: Any, flags: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    weights, offsets = np.zeros((terms.shape[1], flags.shape[1])), np.zeros(flags.shape[1])
    for label, there in enumerate(flags.T):
        if there.all() or not there.any():
            offsets[label] = CERTAIN if len(there) and there.all() else -CERTAIN
            continue
        fitted = LogisticRegression(C=C, max_iter=1000).fit(terms, there)
        weights[:, label], offsets[label] = fitted.coef_[0], fitted.intercept_[0]
    return weights, offsets
