"""How models that give texts several labels are judged: logits [rows, labels] against flags [rows, labels].

Answers are logits less the logit of the model's threshold (`hone.tasks.model.runtime.predict` takes it off, as it
stands in the model's config): a label is given where its number is above 0, whichever model it is of. So models are
compared as they answer, each with its own threshold, and nothing is chosen where the true labels of the test are known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from hone.tasks.objectives.differences import compare_forms
from hone.tasks.objectives.judging import Baseline, FormDifference, Mask, Score
from hone.tasks.objectives.labels import by_name
from hone.tasks.objectives.metric import Metric, Statistics, share
from hone.tasks.objectives.multi_label_classification.metrics import METRICS, by_label, statistics_of

if TYPE_CHECKING:
    from hone.configs.delivery import EvaluateSettings
    from hone.tasks.model.text import Rows

Answers = npt.NDArray[np.float32]
Targets = npt.NDArray[Any]


class MultiLabelClassification:
    """Any number of labels for each text, or pair of texts."""

    metrics: Mapping[str, Metric] = METRICS
    primary = "micro_f1"
    baseline_title = "TF-IDF"
    baseline_runtime = "sklearn"

    def targets(self, rows: "Rows") -> Targets:
        """Flags [rows, labels]."""
        return rows.labels

    def with_reference(self, targets: Targets, reference: Answers) -> Targets:
        """As they are: what is right does not hang on another model."""
        return targets

    def statistics(self, answers: Answers, targets: Targets) -> Statistics:
        """uint8 [rows, 3 x labels + 3], as `metrics.statistics_of` has them."""
        return statistics_of(targets > 0, np.nan_to_num(answers) > 0, _broken(answers))

    def unanswered(self, statistics: Statistics) -> Mask:
        """Rows whose answers were no numbers."""
        return np.asarray(statistics[:, -1] > 0)

    def score(self, answers: Answers, targets: Targets, settings: "EvaluateSettings") -> Score:
        """The metrics, of all labels and of each. A model that answers NaN or infinity has none of them: the gate then
        refuses it for what is missing."""
        statistics = self.statistics(answers, targets)
        if broken := int(self.unanswered(statistics).sum()):
            return Score({"nonfinite_rows": float(broken)}, [])
        true, given, right = (side[0] for side in by_label(statistics.sum(axis=0, dtype=np.float64)[None]))
        columns = zip(share(2 * right, true + given), share(right, given), share(right, true), true, strict=True)
        parts = {
            label: {"f1": float(f1), "precision": float(precise), "recall": float(found), "texts": float(count)}
            for label, (f1, precise, found, count) in enumerate(columns)
        }
        return Score({name: metric.of(statistics) for name, metric in self.metrics.items()}, [], parts)

    def slices(
        self,
        targets: Targets,
        labels: Sequence[str],
        rows: "Rows | None" = None,
        train: "Callable[[], Rows] | None" = None,
    ) -> dict[str, Mask]:
        """The texts of each label, and those without one, where there are any."""
        found = {f"label = {name}": targets[:, index] > 0 for index, name in enumerate(labels)}
        none = np.asarray((targets <= 0).all(axis=1))
        return found | ({"labels = none": none} if none.any() else {})

    def compare(self, source: Answers, target: Answers, targets: Targets) -> FormDifference:
        """By label: the share of all yes and no that are the same. A row with a logit that is not finite agrees with
        nothing."""
        return compare_forms(self, source, target, targets, lambda one, other: (one > 0) == (other > 0))

    def sureness(self, answers: Answers) -> npt.NDArray[np.float64]:
        """Of the label that the model is least sure of, seen from its threshold: 0.5 at it, and 1 far off."""
        return np.asarray(expit(np.abs(answers.astype(np.float64)).min(axis=1)))

    def examples(
        self,
        targets: Targets,
        candidate: Answers,
        reference: Answers,
        labels: Sequence[str],
        texts: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Names of the true labels and of both answers; `none` where there are none."""
        columns = zip(targets > 0, reference > 0, candidate > 0, self.sureness(candidate), strict=True)
        return [
            {
                "label": _told(true, labels),
                "reference": _told(expected, labels),
                "candidate": _told(answered, labels),
                "probability": float(sureness),
            }
            for true, expected, answered, sureness in columns
        ]

    def translate(self, answers: Answers, own: Sequence[str], labels: Sequence[str]) -> Answers:
        """A label that is new to the model is never given; one that this run does not have is left out."""
        return by_name(answers, own, labels)

    def baseline(self, train: "Rows", labels: Sequence[str]) -> Baseline:
        """TF-IDF with a logistic regression for each label."""
        from hone.tasks.objectives.multi_label_classification import baseline  # here, as the gate needs no scikit-learn

        return baseline.fit(train)


def _broken(answers: Answers) -> Mask:
    return np.asarray(~np.isfinite(answers).all(axis=1))


def _told(flags: npt.NDArray[np.bool_], labels: Sequence[str]) -> str:
    return ", ".join(labels[index] for index in np.flatnonzero(flags).tolist()) or "none"
