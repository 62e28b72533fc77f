"""The sides of the data that are compared, and what each says in a few words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from hone.configs.delivery import Texts
from hone.configs.recipe import Objective
from hone.tasks.contracts import DriftPart
from hone.tasks.drift.compare import (
    LEVEL,
    Difference,
    compare_categories,
    compare_columns,
    compare_numbers,
    compare_words,
)
from hone.tasks.drift.features import frequent, unseen_shares, word_counts, words
from hone.tasks.holm import holm
from hone.tasks.objectives.question_answering.answering import is_silent, margins, scores
from hone.tasks.objectives.text_generation.generating import NLL
from hone.tasks.objectives.text_generation.metrics import MOST_NATS
from hone.tasks.texts import shown

SHOWN = 4
COMPONENTS = 8
LEAST = 1e-9
"""Of a probability whose logarithm is compared."""


@dataclass(frozen=True)
class Sample:
    """Rows of one side, and what the champion answers on rows of it that it has not learned from."""

    texts: list[str]
    """Training rows; of a pair, both texts in one."""
    labels: list[str]
    """Of each row, by name; of a sentence, the type of its first entity; where rows have several, of all rows one after
    the other, and `none` of a row without; empty of documents."""
    held_out: list[str]
    """Rows that it was neither trained nor selected on."""
    answers: npt.NDArray[np.float64] | None = None
    """The champion's answers [test rows that it has not learned from, its labels]: logits, of a sentence the mean of
    its words', those of several labels less that of its threshold; numbers; what `answering` has of a question; or the
    mean of what `generating` has of a document's tokens. None where it was not asked."""
    embeddings: npt.NDArray[np.float64] | None = None
    """What its last layer is given [the same rows, width], likewise; None where it was not asked."""
    numbers: npt.NDArray[np.float64] | None = None
    """Of each row, where that has a number in place of labels."""


@dataclass(frozen=True)
class _Found:
    name: str
    difference: Difference
    before: str
    now: str


def measure(
    before: Sample,
    now: Sample,
    known: set[str],
    index: float,
    seed: int,
    texts: Texts = "shown",
    *,
    objective: Objective,
) -> list[DriftPart]:
    """Labels, lengths, words, unseen words, what the champion makes of a text and what it answers, each compared. The
    last three need rows that the champion has not learned from, and are left out where there are none.

    Args:
        before: what the champion learned from.
        known: every word of the champion's training rows. How often a row that it has not learned from has a word that
            is not among them is held against the same of the champion's own test rows, which have some too.
        index: stability index from which on a part that the test finds different as well has drifted.
        texts: how words of the data may be told.
        objective: what the answers are.
    """
    rows = [[words(text) for text in side.texts] for side in (before, now)]
    lengths = [np.array([len(row) for row in side], dtype=np.float64) for side in rows]
    found = []
    if before.numbers is not None and now.numbers is not None:
        found.append(_numbers("numbers", before.numbers, now.numbers))
    elif before.labels and now.labels:
        found.append(_labels(before.labels, now.labels))
    found += [
        _Found("length", compare_numbers(*lengths), *(f"{np.median(side):g} words" for side in lengths)),
        _vocabulary(rows[0], rows[1], seed, texts),
    ]
    if before.held_out and now.held_out:
        found.append(_unseen_words(before.held_out, now.held_out, known))
    if before.embeddings is not None and now.embeddings is not None:
        found.append(_embeddings(before.embeddings, now.embeddings, seed))
    if before.answers is not None and now.answers is not None:
        found.append(ANSWERS[objective](before.answers, now.answers))
    p_values = holm([one.difference.p_value for one in found])
    return [
        DriftPart(
            name=one.name,
            before=one.before,
            now=one.now,
            index=one.difference.index,
            test=one.difference.test,
            p_value=p_value,
            drifted=one.difference.index >= index and p_value <= LEVEL,
        )
        for one, p_value in zip(found, p_values, strict=True)
    ]


def _labels(before: Sequence[str], now: Sequence[str]) -> _Found:
    names = sorted({*before, *now})
    counts = [np.array([list(side).count(name) for name in names], dtype=np.int64) for side in (before, now)]
    shares = [side / side.sum() for side in counts]
    # The labels whose share changed most tell more than all of them.
    order = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:SHOWN]
    told = [", ".join(f"{names[index]} {side[index]:.0%}" for index in order) for side in shares]
    return _Found("labels", compare_categories(*counts), *told)


def _vocabulary(before: list[list[str]], now: list[list[str]], seed: int, texts: Texts) -> _Found:
    chosen = frequent([*before, *now])
    counts = [word_counts(side, chosen) for side in (before, now)]
    shares = [side.sum(axis=0) / max(side.sum(), 1) for side in counts]
    change = shares[1][:-1] - shares[0][:-1]
    most = np.argsort(-np.abs(change), kind="stable")[:SHOWN]

    def name(index: int) -> str:
        return shown(chosen[index], texts) or "a word"

    told = [", ".join(f"{name(index)} {side[index]:.1%}" for index in most) for side in shares]
    return _Found("vocabulary", compare_words(counts[0], counts[1], seed), *told)


def _unseen_words(before: Sequence[str], now: Sequence[str], known: set[str]) -> _Found:
    unseen = [unseen_shares([words(text) for text in side], known) for side in (before, now)]
    told = [f"{side.mean():.2%} of the words" for side in unseen]
    return _Found("unseen_words", compare_numbers(*unseen, only_larger=True), *told)


def _embeddings(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64], seed: int) -> _Found:
    """Their first principal components, in tenths of a standard deviation, as what a text becomes depends a little on
    its batch. As far as the two sides lie apart, the components lie along it."""
    both = np.concatenate([before, now])
    components = PCA(min(COMPONENTS, *both.shape), whiten=True, random_state=seed).fit(both)
    projected = [components.transform(side).round(1) for side in (before, now)]
    centre = before.mean(axis=0)
    told = [f"{np.linalg.norm(side - centre, axis=1).mean():.3g} from its centre" for side in (before, now)]
    return _Found("embeddings", compare_columns(*projected), *told)


def _answers(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> _Found:
    """Each label's logit less the row's mean, which is all that the softmax sees of it. Rounded, as the same text in
    another batch has a logit that differs in the fourth digit."""
    centred = [(logits - logits.mean(axis=1, keepdims=True)).round(1) for logits in (before, now)]
    sure = [f"{_confidence(logits):.1%} sure on average" for logits in (before, now)]
    return _Found("answers", compare_columns(*centred), *sure)


def _several(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> _Found:
    """Each label's logit, as each is a yes or no of its own, seen from the threshold."""
    given = [f"{(side > 0).sum(axis=1).mean():.2f} labels a text" for side in (before, now)]
    return _Found("answers", compare_columns(before.round(1), now.round(1)), *given)


def _predicted(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> _Found:
    """The numbers, in hundredths of their spread, as the same text in another batch has one that differs a little."""
    spread = float(before.std()) or 1.0
    return _numbers("answers", *((side[:, 0] / spread).round(2) * spread for side in (before, now)))


def _spans(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> _Found:
    """How much more speaks for no answer than for the best one, and the logarithm of the answer's probability. Rounded,
    as the logits of one that tags words are."""
    columns = [
        np.column_stack([margins(side), np.log(np.maximum(scores(side), LEAST))]).round(1) for side in (before, now)
    ]
    told = [f"{is_silent(side).mean():.1%} with no answer, {scores(side).mean():.1%} sure" for side in (before, now)]
    return _Found("answers", compare_columns(*columns), *told)


def _losses(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> _Found:
    """How likely the champion finds each document, by the mean loss of its tokens: a number that falls where the text
    becomes more like what it learned from."""
    losses = [side[:, NLL] for side in (before, now)]
    told = (f"perplexity {np.exp(np.minimum(side.mean(), MOST_NATS)):.4g} on average" for side in losses)
    return _Found("perplexity", compare_numbers(*losses), *told)


def _numbers(name: str, before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> _Found:
    return _Found(name, compare_numbers(before, now), *(f"{side.mean():.3g} on average" for side in (before, now)))


def _confidence(logits: npt.NDArray[np.float64]) -> float:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return float((1 / shifted.sum(axis=1)).mean())


ANSWERS: dict[str, Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], _Found]] = {
    "text-classification": _answers,
    "token-classification": _answers,
    "multi-label-classification": _several,
    "regression": _predicted,
    "question-answering": _spans,
    "text-generation": _losses,
}
"""How the champion's answers are compared, by what they are."""
