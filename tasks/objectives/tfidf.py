"""TF-IDF of texts, which the baselines of several objectives weigh."""

from typing import TYPE_CHECKING, Any

from sklearn.feature_extraction.text import TfidfVectorizer

if TYPE_CHECKING:
    from hone.tasks.model.text import Rows

# With 2 terms a word, a million rows would otherwise make a matrix of labels x millions of terms.
MAX_TERMS = 100_000
# A word, or a run of signs: text without a single letter still has terms.
TERM = r"\w+|[^\w\s]+"


def vectorizer() -> TfidfVectorizer:
    """Word 1- and 2-grams; rows have length 1."""
    return TfidfVectorizer(ngram_range=(1, 2), token_pattern=TERM, sublinear_tf=True, max_features=MAX_TERMS)


def one_text(rows: "Rows") -> list[str]:
    """The texts of a split, each with its second text behind it where the task has pairs."""
    if rows.pairs is None:
        return rows.texts
    return [f"{text} {pair}" for text, pair in zip(rows.texts, rows.pairs, strict=True)]


def words_of(fitted: Any) -> list[str]:
    """That it knows, in their order."""
    return sorted(term for term in fitted.vocabulary_ if " " not in term)


def term_bytes(fitted: Any) -> int:
    """Its terms as UTF-8: what a file of it could not do without beside its numbers."""
    return sum(len(term.encode()) + 1 for term in fitted.vocabulary_)
