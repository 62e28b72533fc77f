"""Whether the selected model, and the teacher that it is held against, are better than nothing clever: the baseline of
their task, TF-IDF with logistic regression say."""

from hone.configs.delivery import GateSettings
from hone.tasks.contracts import Check, VerdictName
from hone.tasks.gate.advice import RowSource
from hone.tasks.gate.decision import Claim
from hone.tasks.gate.paired import Difference
from hone.tasks.gate.quality import BETTER, Told, difference_of, disagreement, margin_claim, not_answered
from hone.tasks.objectives.metric import Metric, Statistics

TEACHER = "teacher"
WAY_OUT = "or set gate.beat_baseline: false"


def baseline_checks(
    candidate: Statistics | None,
    teacher: Statistics | None,
    baseline: Statistics | None,
    metric: Metric,
    title: str,
    settings: GateSettings,
    seed: int,
    rows: RowSource | None = None,
) -> list[Check | Claim]:
    """Better than the baseline, both of them: a margin of none, as being as good as it is not enough.

    A teacher that is measured no better is refused by that alone, as `gate.margin` below it then asks for nothing.

    Args:
        candidate, teacher, baseline: statistics [rows, k] of the same rows.
        metric: the primary one.
        title: the baseline's.
    """
    name, result = f"{metric.name}_above_baseline", list[Check | Claim]()
    for subject, answered in (("", candidate), (TEACHER, teacher)):
        difference = difference_of(answered, baseline, metric, settings, seed)
        if difference is None or answered is None or baseline is None:
            result.append(not_answered(name, subject, 0.0, metric.margin_unit))
            continue
        claim = margin_claim(name, subject, difference, 0.0, _about(difference, title, rows))
        useless = subject == TEACHER and difference.value <= 0
        values = [metric.shown(metric.of(one)) for one in (answered, baseline)]
        result.append(_useless(claim.check, metric, title, *values) if useless else claim)
    return result


def _useless(check: Check, metric: Metric, title: str, teacher: str, baseline: str) -> Check:
    detail = (
        f"the teacher's {metric.title} is {teacher} and that of {title} {baseline}, so being as good as the teacher "
        f"shows nothing: train it longer (train.epochs, train.learning_rate), take another model.source, {WAY_OUT}"
    )
    return check.model_copy(update={"verdict": "REJECTED", "detail": detail})


def _about(difference: Difference, title: str, rows: RowSource | None) -> Told:
    def told(verdict: VerdictName, level: float) -> str:
        if verdict != "INCONCLUSIVE":
            return disagreement(difference)
        needed = difference.rows_needed(0.0, level)
        if not needed or difference.value <= 0:
            apart = "as good as" if not difference.value else "measured worse than"
            return f"{apart} {title} on {difference.rows:,} rows: {BETTER}, {WAY_OUT}"
        more = f": {rows.more(needed)}, {WAY_OUT}" if rows else ""
        return f"{difference.rows:,} rows do not tell the two apart; about {needed:,} would with 80% chance{more}"

    return told
