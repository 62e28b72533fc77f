"""How models that give a text one label are judged: logits [rows, labels] against label ids [rows]."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from hone.tasks.objectives.differences import compare_forms, same_choice
from hone.tasks.objectives.judging import Baseline, FormDifference, Mask, Score
from hone.tasks.objectives.labels import by_name
from hone.tasks.objectives.metric import Metric, Statistics
from hone.tasks.objectives.text_classification.metrics import METRICS, Ids, calibration_error, statistics_of

if TYPE_CHECKING:
    from hone.configs.delivery import EvaluateSettings
    from hone.tasks.model.text import Rows

Answers = npt.NDArray[np.float32]
Targets = npt.NDArray[Any]


class TextClassification:
    """One label for each text, or pair of texts. The first of equal logits is the answer."""

    metrics: Mapping[str, Metric] = METRICS
    primary = "accuracy"
    baseline_title = "TF-IDF"
    baseline_runtime = "sklearn"

    def targets(self, rows: "Rows") -> Targets:
        """Label ids [rows]."""
        return rows.labels

    def with_reference(self, targets: Targets, reference: Answers) -> Targets:
        """As they are: what is right does not hang on another model."""
        return targets

    def statistics(self, answers: Answers, targets: Targets) -> Statistics:
        """uint8 [rows, 3 x labels]: flags of the true label, of the predicted one, and of the one that is both."""
        return statistics_of(targets, _predicted(answers), answers.shape[1])

    def unanswered(self, statistics: Statistics) -> Mask:
        """Rows without a predicted label."""
        return np.asarray(~statistics.reshape(len(statistics), 3, -1)[:, 1].any(axis=1))

    def score(self, answers: Answers, targets: Targets, settings: "EvaluateSettings") -> Score:
        """The metrics and the calibration error, each in 0..1, and the confusion matrix. A model that answers NaN or
        infinity has none of them: the gate then refuses it for what is missing."""
        statistics, labels = self.statistics(answers, targets), answers.shape[1]
        if broken := int(self.unanswered(statistics).sum()):
            return Score({"nonfinite_rows": float(broken)}, [])
        values = {name: metric.of(statistics) for name, metric in self.metrics.items()}
        probabilities = softmax(answers.astype(np.float64), axis=1)
        values["calibration_error"] = calibration_error(probabilities, targets, settings.calibration_bins)
        cells = np.bincount(targets * labels + _predicted(answers), minlength=labels * labels)
        return Score(values, cells.reshape(labels, labels).tolist())

    def slices(
        self,
        targets: Targets,
        labels: Sequence[str],
        rows: "Rows | None" = None,
        train: "Callable[[], Rows] | None" = None,
    ) -> dict[str, Mask]:
        """The rows of each label."""
        return {f"label = {name}": targets == index for index, name in enumerate(labels)}

    def compare(self, source: Answers, target: Answers, targets: Targets) -> FormDifference:
        """A row with a logit that is not finite agrees with nothing and is answered wrongly; one such row makes the
        differences infinite, as do other numbers of labels."""
        return compare_forms(self, source, target, targets, same_choice)

    def sureness(self, answers: Answers) -> npt.NDArray[np.float64]:
        """The softmax of the answer given."""
        apart = answers.astype(np.float64) - answers.max(axis=1, keepdims=True)
        return np.asarray(1 / np.exp(apart).sum(axis=1))

    def examples(
        self,
        targets: Targets,
        candidate: Answers,
        reference: Answers,
        labels: Sequence[str],
        texts: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Names of the true label and of both answers."""
        columns = zip(targets, _predicted(reference), _predicted(candidate), self.sureness(candidate), strict=True)
        return [
            {
                "label": labels[label],
                "reference": labels[expected],
                "candidate": labels[answered],
                "probability": float(sureness),
            }
            for label, expected, answered, sureness in columns
        ]

    def translate(self, answers: Answers, own: Sequence[str], labels: Sequence[str]) -> Answers:
        """A label that is new to the model is never its answer; one that this run does not have is left out."""
        return by_name(answers, own, labels)

    def baseline(self, train: "Rows", labels: Sequence[str]) -> Baseline:
        """TF-IDF with logistic regression."""
        from hone.tasks.objectives.text_classification import baseline  # here, as the gate needs no scikit-learn

        return baseline.fit(train, len(labels))


def _predicted(answers: Answers) -> Ids:
    """Label ids [rows]; beyond the labels where an answer is no number."""
    broken = ~np.isfinite(answers).all(axis=1)
    predicted: Ids = np.where(broken, answers.shape[1], np.nan_to_num(answers).argmax(axis=1)).astype(np.int64)
    return predicted
