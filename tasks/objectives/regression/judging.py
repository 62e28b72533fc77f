"""How models that answer texts with a number are judged: answers [rows, 1] against numbers [rows]."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.differences import compare_forms
from hone.tasks.objectives.judging import Baseline, FormDifference, Mask, Score
from hone.tasks.objectives.metric import Metric, Statistics
from hone.tasks.objectives.regression.metrics import METRICS, statistics_of

if TYPE_CHECKING:
    from hone.configs.delivery import EvaluateSettings
    from hone.tasks.model.text import Rows

Answers = npt.NDArray[np.float32]
Targets = npt.NDArray[Any]
SAME = 0.25
"""Two forms' numbers are the same where they are within this share of the true numbers' spread (standard deviation):
that many times less than what tells two texts apart, as another label is in classification."""
RANGES = 3
"""Slices by the true number, of about equal size."""


class Regression:
    """A number for each text, or pair of texts."""

    metrics: Mapping[str, Metric] = METRICS
    primary = "mse"
    baseline_title = "TF-IDF with ridge regression"
    baseline_runtime = "sklearn"

    def targets(self, rows: "Rows") -> Targets:
        """The numbers [rows]."""
        return rows.labels

    def with_reference(self, targets: Targets, reference: Answers) -> Targets:
        """As they are: what is right does not hang on another model."""
        return targets

    def statistics(self, answers: Answers, targets: Targets) -> Statistics:
        """fp64 [rows, 4], as `metrics.statistics_of` has them."""
        return statistics_of(targets.astype(np.float64), answers[:, 0].astype(np.float64))

    def unanswered(self, statistics: Statistics) -> Mask:
        """Rows whose answers were no numbers."""
        return np.asarray(statistics[:, -1] > 0)

    def score(self, answers: Answers, targets: Targets, settings: "EvaluateSettings") -> Score:
        """The metrics. A model that answers NaN or infinity has none of them: the gate then refuses it for what is
        missing."""
        statistics = self.statistics(answers, targets)
        if broken := int(self.unanswered(statistics).sum()):
            return Score({"nonfinite_rows": float(broken)}, [])
        return Score({name: metric.of(statistics) for name, metric in self.metrics.items()}, [])

    def slices(
        self,
        targets: Targets,
        labels: Sequence[str],
        rows: "Rows | None" = None,
        train: "Callable[[], Rows] | None" = None,
    ) -> dict[str, Mask]:
        """The rows with low, middling and high true numbers, cut between different ones: a model that answers all of
        them with the middle is good on average and of no use at the ends."""
        edges = np.unique(np.quantile(targets, np.arange(1, RANGES) / RANGES, method="inverted_cdf"))
        bounds = [-np.inf, *edges.tolist(), np.inf]
        result = {}
        for low, high in itertools.pairwise(bounds):
            inside = (targets > low) & (targets <= high)
            if inside.any():
                result[f"{labels[0]} = {targets[inside].min():g}–{targets[inside].max():g}"] = inside
        return result

    def compare(self, source: Answers, target: Answers, targets: Targets) -> FormDifference:
        """The share of rows whose numbers are the same, within `SAME` of the true numbers' spread. What is gained is a
        mean squared error, of which less is better."""
        near = SAME * float(targets.std())
        return compare_forms(self, source, target, targets, lambda one, other: np.abs(one - other) <= near)

    def sureness(self, answers: Answers) -> npt.NDArray[np.float64]:
        """A number says nothing of how sure it is: 0.5 for all."""
        return np.full(len(answers), 0.5)

    def examples(
        self,
        targets: Targets,
        candidate: Answers,
        reference: Answers,
        labels: Sequence[str],
        texts: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """The true number and both answers, in the digits that tell them apart."""
        columns = zip(targets, reference[:, 0], candidate[:, 0], self.sureness(candidate), strict=True)
        return [
            {
                "label": f"{true:.4g}",
                "reference": f"{expected:.4g}",
                "candidate": f"{answered:.4g}",
                "probability": float(sureness),
            }
            for true, expected, answered, sureness in columns
        ]

    def translate(self, answers: Answers, own: Sequence[str], labels: Sequence[str]) -> Answers:
        """A number is a number, whatever its column was called."""
        return answers

    def baseline(self, train: "Rows", labels: Sequence[str]) -> Baseline:
        """TF-IDF with ridge regression, or the mean where that is better."""
        from hone.tasks.objectives.regression import baseline  # here, as the gate needs no scikit-learn

        return baseline.fit(train)
