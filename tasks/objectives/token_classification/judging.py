"""How models that tag the words of a sentence are judged: logits [rows, words of each, labels] against tag ids.

Tags are numbered as `tags.tag_names` numbers them: O is 0, and the types follow with `B-` and `I-` of each, so that the
numbers alone tell where an entity begins and ends.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from hone.tasks.objectives.differences import compare_forms, same_choice
from hone.tasks.objectives.judging import Baseline, FormDifference, Mask, Score
from hone.tasks.objectives.labels import UNHEARD, by_name
from hone.tasks.objectives.metric import Metric, Statistics, Sums, Values
from hone.tasks.objectives.ragged import Ragged
from hone.tasks.objectives.token_classification import baseline, counts
from hone.tasks.objectives.token_classification.slices import known_entities
from hone.tasks.objectives.token_classification.slices import slices as slices_of
from hone.tasks.objectives.token_classification.tags import entities

if TYPE_CHECKING:
    from hone.configs.delivery import EvaluateSettings
    from hone.tasks.model.text import Rows

DISAGREEMENT = "better on {won:,} sentences, worse on {lost:,} of {rows:,}"


def _metric(name: str, title: str, value: Callable[[npt.ArrayLike], npt.NDArray[np.float64]]) -> Metric:
    def of(sums: Sums) -> Values:
        return value(sums[..., :-1])  # the last one counts sentences without an answer

    return Metric(name, title, of, disagreement=DISAGREEMENT)


METRICS = {
    "f1": _metric("f1", "entity F1", counts.micro_f1),
    "precision": _metric("precision", "precision", counts.precision),
    "recall": _metric("recall", "recall", counts.recall),
    "macro_f1": _metric("macro_f1", "macro F1", counts.macro_f1),
}
"""As seqeval counts strictly: an entity is right if its type, its first word and its last one are."""


class TokenClassification:
    """One tag for each word. The first of equal logits is the answer."""

    metrics: Mapping[str, Metric] = METRICS
    primary = "f1"
    baseline_title = "most frequent tag"
    baseline_runtime = "lookup"

    def targets(self, rows: "Rows") -> Ragged:
        """Tag ids [rows, words of each].

        Raises:
            ValueError: when the rows are texts that nobody has tagged.
        """
        if rows.tags is None:
            raise ValueError("the rows have no tags: prepare the data with data.tokens_column and data.tags_column")
        return Ragged.of(rows.tags, np.zeros(0, np.int64))

    def with_reference(self, targets: Ragged, reference: Ragged) -> Ragged:
        """As they are: what is right does not hang on another model."""
        return targets

    def statistics(self, answers: Ragged, targets: Ragged) -> Statistics:
        """int64 [rows, 3 x types + 1]: true entities of each type, predicted ones and correct ones, and 1 for a
        sentence with an answer that is no number, in which nothing is predicted."""
        names = _numbered_tags(answers.values.shape[1])
        predicted = Ragged(_predicted(answers), answers.offsets)
        broken = predicted.largest((predicted.values < 0).astype(np.int64))
        types = [name.removeprefix("B-") for name in names[1::2]]
        rows = [
            [names[max(tag, 0)] for tag in tags] if not bad else ["O"] * len(tags)
            for tags, bad in zip(predicted, broken, strict=True)
        ]
        found = counts.entity_counts([[names[tag] for tag in tags] for tags in targets], rows, types)
        return np.hstack([found, broken[:, None]])

    def unanswered(self, statistics: Statistics) -> Mask:
        """Sentences with an answer that is no number."""
        return np.asarray(statistics[:, -1] > 0)

    def score(self, answers: Ragged, targets: Ragged, settings: "EvaluateSettings") -> Score:
        """The metrics, of all entities and of each type. A model that answers NaN or infinity has none of them: the
        gate then refuses it for what is missing."""
        statistics = self.statistics(answers, targets)
        if broken := int(self.unanswered(statistics).sum()):
            return Score({"nonfinite_rows": float(broken)}, [])
        sums = statistics.sum(axis=0)[:-1]
        by_type = zip(
            counts.f1_by_type(sums),
            counts.precision_by_type(sums),
            counts.recall_by_type(sums),
            sums.reshape(3, -1)[0],
            strict=True,
        )
        parts = {
            2 * index + 1: {"f1": float(f1), "precision": float(right), "recall": float(found), "entities": float(true)}
            for index, (f1, right, found, true) in enumerate(by_type)
        }
        return Score({name: metric.of(statistics) for name, metric in self.metrics.items()}, [], parts)

    def slices(
        self,
        targets: Ragged,
        labels: Sequence[str],
        rows: "Rows | None" = None,
        train: "Callable[[], Rows] | None" = None,
    ) -> dict[str, Mask]:
        """Sentences with entities of each type, with entities that training had, and with new ones, where there are
        any: a test split may well hold no new one."""
        tags = [[labels[tag] for tag in sentence] for sentence in targets]
        words = (
            rows.tokens if rows is not None and rows.tokens is not None else [[""] * len(sentence) for sentence in tags]
        )
        learned = train() if train is not None and rows is not None else None
        known = set() if learned is None else known_entities(*_sentences(learned, labels))
        found = {name: mask for name, mask in slices_of(words, tags, known).items() if mask.any()}
        return found if learned is not None else {name: mask for name, mask in found.items() if name.startswith("type")}

    def compare(self, source: Ragged, target: Ragged, targets: Ragged) -> FormDifference:
        """By word: numbers of all logits, and the share of words with the same tag. A word with a logit that is not
        finite agrees with nothing; one such word makes the differences infinite, as do other numbers of tags."""
        return compare_forms(self, source, target, targets, same_choice)

    def sureness(self, answers: Ragged) -> npt.NDArray[np.float64]:
        """The softmax of the tag of the word that the model is least sure of; 0 of a sentence without words."""
        doubts = answers.largest(1.0 - _chances(answers).max(axis=1, initial=0.0))
        return np.where(answers.lengths > 0, 1.0 - doubts, 0.0)

    def examples(
        self, targets: Ragged, candidate: Ragged, reference: Ragged, labels: Sequence[str], texts: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """The entities of each sentence as `Ann Smith (person), Rome (place)`, or by the numbers of their words where
        the report may not show them; `none` where there is no entity."""
        result = []
        shown = texts or [""] * len(targets)
        columns = zip(
            shown, targets, _rows_of_tags(reference), _rows_of_tags(candidate), self.sureness(candidate), strict=True
        )
        for text, true, expected, answered, sureness in columns:
            words = text.split(" ")
            words = words if text and len(words) == len(true) else []
            label, other, own = (_told([labels[tag] for tag in tags], words) for tags in (true, expected, answered))
            result.append({"label": label, "reference": other, "candidate": own, "probability": float(sureness)})
        return result

    def translate(self, answers: Ragged, own: Sequence[str], labels: Sequence[str]) -> Ragged:
        """A tag that is new to the model is never its answer; one that this run does not have is left out."""
        return Ragged(by_name(answers.values, own, labels), answers.offsets)

    def baseline(self, train: "Rows", labels: Sequence[str]) -> Baseline:
        """The tag that each word has most often."""
        return Lookup(baseline.fit(*_sentences(train, labels)), tuple(labels))


@dataclass(frozen=True)
class Lookup:
    """The most frequent tags, answering as a model does."""

    fitted: baseline.MostFrequentTag
    labels: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Tags that it has learned."""
        return self.fitted.parameters

    @property
    def size_bytes(self) -> int:
        """Of its words, shapes and tags."""
        return self.fitted.size_bytes

    @property
    def words(self) -> list[str]:
        """That it knows, in their order."""
        return self.fitted.words

    def answers(self, rows: "Rows") -> Ragged:
        """Logits [rows, words of each, labels]: 0 of the tag that is looked up, and `UNHEARD` of all others. A text
        that nobody has split is split at its blanks."""
        sentences = rows.tokens if rows.tokens is not None else [text.split() for text in rows.texts]
        index = {name: label for label, name in enumerate(self.labels)}
        tags = [np.array([index[tag] for tag in sentence], np.int64) for sentence in self.fitted.predict(sentences)]
        found = Ragged.of(tags, np.zeros(0, np.int64))
        logits = np.full((len(found.values), len(self.labels)), UNHEARD, np.float32)
        logits[np.arange(len(logits)), found.values] = 0.0
        return Ragged(logits, found.offsets)


def _sentences(rows: "Rows", labels: Sequence[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Words and tags of each sentence."""
    if rows.tokens is None or rows.tags is None:
        raise ValueError("the rows have no words or no tags: prepare the data with data.tokens_column")
    return rows.tokens, [[labels[tag] for tag in tags] for tags in rows.tags]


def _numbered_tags(count: int) -> list[str]:
    """Tags by id, with numbers for the names of types."""
    return ["O", *(f"{prefix}-{kind}" for kind in range(count // 2) for prefix in "BI")][:count]


def _predicted(answers: Ragged) -> npt.NDArray[np.int64]:
    """Tag ids [words]; -1 where an answer is no number."""
    if not len(answers.values):
        return np.zeros(0, np.int64)
    broken = ~np.isfinite(answers.values).all(axis=1)
    return np.asarray(np.where(broken, -1, np.nan_to_num(answers.values).argmax(axis=1)), np.int64)


def _rows_of_tags(answers: Ragged) -> Ragged:
    return Ragged(_predicted(answers), answers.offsets)


def _chances(answers: Ragged) -> npt.NDArray[np.float64]:
    result: npt.NDArray[np.float64] = softmax(answers.values.astype(np.float64), axis=1)
    return result


def _told(tags: Sequence[str], words: Sequence[str]) -> str:
    told = []
    for kind, start, end in entities(tags):
        position = f"word {start + 1}" if end == start + 1 else f"words {start + 1}–{end}"
        told.append(f"{' '.join(words[start:end]) if words else position} ({kind})")
    return ", ".join(told) or "none"
