"""What evaluation, gate, report and the champion's comparison ask of a task, so that none of them knows one itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.metric import Metric, Statistics

if TYPE_CHECKING:  # settings and rows come from the caller
    from hone.configs.delivery import EvaluateSettings
    from hone.tasks.model.text import Rows

Answers = Any
"""What a model answered, rows first and indexed by rows: logits [rows, labels] of a classifier of texts, less that of
its threshold where texts may have several, numbers [rows, 1], and `Ragged` logits [rows, words of each, labels] of a
classifier of words; a span with its scores [rows, numbers] of one that answers questions; `ByToken` numbers [rows,
tokens of each, numbers] of a language model."""
Targets = Any
"""What would have been right, rows first and indexed by rows: label ids [rows] of a classifier of texts, flags [rows,
labels] where they may have several, numbers [rows], `Ragged` tag ids [rows, words of each] of one of words; contexts
and answers of questions, and documents' lengths with what the reference would write, as `Ragged` numbers."""
Mask = npt.NDArray[np.bool_]
"""[rows]."""


@dataclass(frozen=True)
class Score:
    """How good one model's answers are."""

    metrics: dict[str, float]
    """By name; `nonfinite_rows` alone where an answer is no number."""
    confusion: list[list[int]]
    """Rows by true label and predicted one; empty of a task without a label for each row."""
    parts: dict[int, dict[str, float]] = field(default_factory=dict)
    """The same metrics of parts of the answers, such as types of entities, by the id of their first label."""


@dataclass(frozen=True)
class FormDifference:
    """How far two forms of one model are apart on the same rows: the numbers of a hand-off."""

    max_abs_difference: float
    """Of one number of an answer."""
    rms_share: float
    """Root mean square difference, as a share of the answers' spread (standard deviation)."""
    agreement: float
    """Share of answers that come to the same."""
    accuracy_difference: float
    """Of the primary metric, target less source."""


class Baseline(Protocol):
    """What a model has to beat to be worth anything, fitted; it lives in the process that fitted it."""

    @property
    def parameters(self) -> int:
        """Numbers that it has learned."""

    @property
    def size_bytes(self) -> int:
        """What a file of it could not do without."""

    @property
    def words(self) -> list[str]:
        """That it knows, in their order: texts for timing are made of them."""

    def answers(self, rows: "Rows") -> Answers:
        """As a model would answer the rows."""


class Judging(Protocol):
    """One task, as far as its models are judged. It needs no torch."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Those in which two models can be compared on the same rows, by name."""

    @property
    def primary(self) -> str:
        """Name of the one that slices, the baseline and the headline are judged by."""

    @property
    def baseline_title(self) -> str:
        """The baseline's name for people."""

    @property
    def baseline_runtime(self) -> str:
        """What computes the baseline's answers."""

    def targets(self, rows: "Rows") -> Targets:
        """What would have been right, of each row."""

    def with_reference(self, targets: Targets, reference: Answers) -> Targets:
        """The targets with what the reference (the teacher) answers to the same rows, for metrics that ask how far a
        model keeps to it."""

    def statistics(self, answers: Answers, targets: Targets) -> Statistics:
        """Statistics [rows, k] of each row's answer. One that is no number counts as the worst there is."""

    def unanswered(self, statistics: Statistics) -> Mask:
        """Rows [rows] whose answers were no numbers."""

    def score(self, answers: Answers, targets: Targets, settings: "EvaluateSettings") -> Score:
        """All that the table of models holds of one model's quality."""

    def slices(
        self,
        targets: Targets,
        labels: Sequence[str],
        rows: "Rows | None" = None,
        train: "Callable[[], Rows] | None" = None,
    ) -> dict[str, Mask]:
        """Rows [rows] of each part of the data that the targets make, by a name such as `label = negative`.

        Args:
            labels: names by id.
            rows: what the targets are of; None: slices that need their texts are left out.
            train: reads the training split; None: slices that need it are left out.
        """

    def compare(self, source: Answers, target: Answers, targets: Targets) -> FormDifference:
        """The numbers of a hand-off, from both forms' answers to the same rows."""

    def sureness(self, answers: Answers) -> npt.NDArray[np.float64]:
        """How sure a model is of each of its answers [rows], 0..1."""

    def examples(
        self,
        targets: Targets,
        candidate: Answers,
        reference: Answers,
        labels: Sequence[str],
        texts: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """What the report shows of each row's answers: `label`, `reference` and `candidate` in words, and
        `probability`, the candidate's of its own answer.

        Args:
            texts: of the rows, of pairs the second ones, as the report may show them; empty: of none.
        """

    def translate(self, answers: Answers, own: Sequence[str], labels: Sequence[str]) -> Answers:
        """Answers of a model with labels of its own in those of this run, matched by their names.

        Args:
            own: the model's labels, by id.
            labels: this run's, by id.
        """

    def baseline(self, train: "Rows", labels: Sequence[str]) -> Baseline:
        """The baseline, fitted to the training rows, the same on every run."""


def compared(objective: Judging, names: Sequence[str]) -> list[Metric]:
    """The metrics of `gate.metrics`; where that is empty, the primary one."""
    return [objective.metrics[name] for name in names or [objective.primary]]


def judging(task: str) -> Judging:
    """How models of a recipe's objective are judged."""
    if task == "text-classification":
        from hone.tasks.objectives.text_classification.judging import TextClassification

        return TextClassification()
    if task == "multi-label-classification":
        from hone.tasks.objectives.multi_label_classification.judging import MultiLabelClassification

        return MultiLabelClassification()
    if task == "regression":
        from hone.tasks.objectives.regression.judging import Regression

        return Regression()
    if task == "token-classification":
        from hone.tasks.objectives.token_classification.judging import TokenClassification

        return TokenClassification()
    if task == "question-answering":
        from hone.tasks.objectives.question_answering.judging import QuestionAnswering

        return QuestionAnswering()
    if task == "text-generation":
        from hone.tasks.objectives.text_generation.judging import TextGeneration

        return TextGeneration()
    raise ValueError(f"task = '{task}': it has no folder in tasks/objectives/ that says how its models are judged")
