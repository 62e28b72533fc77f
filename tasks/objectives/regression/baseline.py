"""What a person would try first: TF-IDF with ridge regression, or the mean of training where no term helps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from hone.tasks.objectives import tfidf

if TYPE_CHECKING:
    from hone.tasks.model.text import Rows

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
HELD_OUT = 5
"""One of so many training rows chooses between the penalties and the mean, before the regression sees them all."""


@dataclass(frozen=True)
class RidgeBaseline:
    """The fitted baseline."""

    vectorizer: TfidfVectorizer
    weights: npt.NDArray[np.float64]
    """[terms]; all 0 where it is the mean."""
    offset: float

    @property
    def parameters(self) -> int:
        """Weights of terms."""
        return int(self.weights.size + 1 + self.vectorizer.idf_.size)

    @property
    def size_bytes(self) -> int:
        """Its terms as UTF-8 and its weights as fp32."""
        return tfidf.term_bytes(self.vectorizer) + 4 * self.parameters

    @property
    def words(self) -> list[str]:
        """That it knows, in their order."""
        return tfidf.words_of(self.vectorizer)

    def answers(self, rows: "Rows") -> Any:
        """Numbers [rows, 1] float32."""
        found = self.vectorizer.transform(tfidf.one_text(rows)) @ self.weights + self.offset
        return np.asarray(found, np.float32)[:, None]


def fit(train: "Rows") -> RidgeBaseline:
    """Fits it, the same on every run.

    Args:
        train: their labels are numbers [rows].
    """
    vectorizer, numbers = tfidf.vectorizer(), train.labels
    terms = vectorizer.fit_transform(tfidf.one_text(train))
    held_out = np.arange(len(numbers)) % HELD_OUT == 0
    errors: dict[float, float] = {np.inf: float(((numbers[held_out] - numbers[~held_out].mean()) ** 2).mean())}
    for penalty in PENALTIES:
        found = _ridge(penalty).fit(terms[~held_out], numbers[~held_out]).predict(terms[held_out])
        errors[penalty] = float(((found - numbers[held_out]) ** 2).mean())
    best = min(errors, key=lambda penalty: errors[penalty])
    if np.isinf(best):
        return RidgeBaseline(vectorizer, np.zeros(terms.shape[1]), float(numbers.mean()))
    fitted = _ridge(best).fit(terms, numbers)
    return RidgeBaseline(vectorizer, np.asarray(fitted.coef_, np.float64), float(fitted.intercept_))


def _ridge(penalty: float) -> Ridge:
    return Ridge(alpha=penalty, solver="sparse_cg", max_iter=1000, tol=1e-6)
