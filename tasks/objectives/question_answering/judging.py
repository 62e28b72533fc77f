"""How models that answer questions out of a context are judged: spans with scores against true answers.

Answers are [questions, WIDTH] numbers as `answering` names them, and so the same for models with any tokenizer. A
model's threshold is one of them: what it answers is settled before it is judged.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.differences import compare_forms
from hone.tasks.objectives.judging import Baseline, FormDifference, Mask, Score
from hone.tasks.objectives.metric import Metric, Statistics, Sums, Values
from hone.tasks.objectives.question_answering import baseline, squad
from hone.tasks.objectives.question_answering.answering import END, ENDS, NULL, SCORE, START, STARTS, is_silent, scores
from hone.tasks.objectives.question_answering.targets import pack, unpack
from hone.tasks.objectives.ragged import Ragged

if TYPE_CHECKING:
    from hone.configs.delivery import EvaluateSettings
    from hone.tasks.model.text import Rows

Answers = npt.NDArray[np.float32]
NUMBERS = [SCORE, NULL, STARTS, ENDS]
"""Those of an answer that are sums of logits: two forms of a model are compared in them."""
ASKING = ("what", "when", "where", "which", "who", "whose", "why", "how")
EXACT, F1, ROWS, SILENT, BROKEN = range(5)
"""A question's statistics."""
DISAGREEMENT = "better on {won:,} questions, worse on {lost:,} of {rows:,}"


def _mean(index: int) -> Callable[[Sums], Values]:
    def of(sums: Sums) -> Values:
        return np.asarray(sums[:, index] / sums[:, ROWS])

    return of


METRICS = {
    "f1": Metric("f1", "F1", _mean(F1), disagreement=DISAGREEMENT),
    "exact_match": Metric(
        "exact_match",
        "exact match",
        _mean(EXACT),
        share_of_rows=True,
        disagreement="alone right on {won:,} questions, alone wrong on {lost:,} of {rows:,}",
    ),
}
"""As SQuAD's own script counts, each the best over a question's true answers."""


class QuestionAnswering:
    """One answer to each question, or none."""

    metrics: Mapping[str, Metric] = METRICS
    primary = "f1"
    baseline_title = "best sentence"
    baseline_runtime = "overlap"

    def targets(self, rows: "Rows") -> Ragged:
        """Contexts and true answers, as `targets.pack` writes them.

        Raises:
            ValueError: when the rows are no questions.
        """
        return pack(*_contexts(rows))

    def with_reference(self, targets: Ragged, reference: Answers) -> Ragged:
        """As they are: what is right does not hang on another model."""
        return targets

    def statistics(self, answers: Answers, targets: Ragged) -> Statistics:
        """float64 [questions, 5]: exact match, F1, 1, and flags of no answer and of one that is no number, which is
        wrong."""
        result = np.zeros((len(answers), 5))
        broken = np.asarray(~np.isfinite(answers).all(axis=1))
        silent = is_silent(answers)
        for row, question in enumerate(unpack(targets)):
            if broken[row]:
                continue
            start, end = (0, 0) if silent[row] else answers[row, [START, END]].astype(int)
            answer = question.context[start:end]
            result[row, EXACT] = squad.exact_match(answer, question.answers)
            result[row, F1] = squad.f1(answer, question.answers)
        result[:, ROWS] = 1
        result[:, SILENT], result[:, BROKEN] = silent & ~broken, broken
        return result

    def unanswered(self, statistics: Statistics) -> Mask:
        """Questions with an answer that is no number."""
        return np.asarray(statistics[:, BROKEN] > 0)

    def score(self, answers: Answers, targets: Ragged, settings: "EvaluateSettings") -> Score:
        """The metrics, of all questions and of each kind where there are both: questions with an answer (0), and
        without one (1). A model that answers NaN or infinity has none of them: the gate then refuses it for what is
        missing."""
        statistics = self.statistics(answers, targets)
        if broken := int(self.unanswered(statistics).sum()):
            return Score({"nonfinite_rows": float(broken)}, [])
        kinds = {kind: mask for kind, mask in enumerate(_kinds(targets)) if mask.any()}
        parts = {
            kind: {
                **{name: metric.of(statistics[mask]) for name, metric in self.metrics.items()},
                "questions": float(mask.sum()),
                "without_answer": float(statistics[mask, SILENT].sum()),
            }
            for kind, mask in kinds.items()
            if len(kinds) > 1
        }
        return Score({name: metric.of(statistics) for name, metric in self.metrics.items()}, [], parts)

    def slices(
        self,
        targets: Ragged,
        labels: Sequence[str],
        rows: "Rows | None" = None,
        train: "Callable[[], Rows] | None" = None,
    ) -> dict[str, Mask]:
        """Questions with an answer and without one, where there are both, and those with each of the words that ask."""
        kinds = _kinds(targets)
        both = all(mask.any() for mask in kinds)
        result = {f"question = {labels[kind]}": mask for kind, mask in enumerate(kinds) if both}
        if rows is None:
            return result
        first = [next((word for word in text.lower().split() if word in ASKING), "other") for text in rows.texts]
        asks = {f"asks = {word}": np.array([one == word for one in first]) for word in (*ASKING, "other")}
        several = {name: mask for name, mask in asks.items() if mask.any()}
        return result | (several if len(several) > 1 else {})

    def compare(self, source: Answers, target: Answers, targets: Ragged) -> FormDifference:
        """By question: the sums of the best span's logits and of no answer's, and those of the exponentials of all
        logits, in which a difference of any logit shows; and the share of questions with the same answer. One with a
        number that is not finite agrees with nothing, and makes the differences infinite."""
        return compare_forms(self, source, target, targets, _same_answer, NUMBERS)

    def sureness(self, answers: Answers) -> npt.NDArray[np.float64]:
        """Probability of the answer's first token times that of its last one."""
        return scores(answers)

    def examples(
        self,
        targets: Ragged,
        candidate: Answers,
        reference: Answers,
        labels: Sequence[str],
        texts: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """The true answers and both models', in words, or by their characters where the report may not show the
        context; `none` of no answer."""
        result = []
        shown = texts or [""] * len(targets)
        columns = zip(
            shown, unpack(targets), _given(reference), _given(candidate), self.sureness(candidate), strict=True
        )
        for text, question, expected, answered, sureness in columns:
            context = question.context if text == question.context else ""
            true = dict.fromkeys(_told(context, *span) for span in question.spans)
            result.append(
                {
                    "label": " or ".join(true) or "none",
                    "reference": _told(context, *expected.tolist()),
                    "candidate": _told(context, *answered.tolist()),
                    "probability": float(sureness),
                }
            )
        return result

    def translate(self, answers: Answers, own: Sequence[str], labels: Sequence[str]) -> Answers:
        """As they are: there are no labels."""
        return answers

    def baseline(self, train: "Rows", labels: Sequence[str]) -> Baseline:
        """The sentence that shares most with the question."""
        return Sentences(baseline.fit(train.texts, *_contexts(train)))


class Sentences:
    """The best sentence, answering as a model does."""

    def __init__(self, fitted: baseline.BestSentence) -> None:
        self._fitted = fitted
        self.parameters, self.size_bytes, self.words = fitted.parameters, fitted.size_bytes, fitted.words

    def answers(self, rows: "Rows") -> Answers:
        """[questions, WIDTH]. A text without a context is its own."""
        return self._fitted.predict(rows.texts, rows.pairs if rows.pairs is not None else rows.texts)


def _contexts(rows: "Rows") -> tuple[list[str], list[list[tuple[int, int]]]]:
    """Context and answers of each question."""
    if rows.pairs is None or rows.spans is None:
        raise ValueError("the rows are no questions about contexts: prepare the data with data.context_column")
    return rows.pairs, rows.spans


def _kinds(targets: Ragged) -> tuple[Mask, Mask]:
    """Questions with an answer, and without one."""
    counts = targets.values[targets.offsets[:-1]]
    return np.asarray(counts > 0), np.asarray(counts == 0)


def _given(answers: Answers) -> npt.NDArray[np.int64]:
    """First character and end of what is answered [questions, 2]; 0 and 0 of no answer."""
    spans = np.nan_to_num(answers[:, [START, END]]).astype(np.int64)
    spans[is_silent(answers)] = 0
    return spans


def _same_answer(one: Answers, other: Answers) -> Mask:
    return np.asarray((_given(one) == _given(other)).all(axis=1))


def _told(context: str, start: int, end: int) -> str:
    if end <= start:
        return "none"
    return " ".join(context[start:end].split()) if context else f"characters {start + 1}–{end}"
