"""Whether the selected model, and the teacher that it is held against, are better than nothing clever: TF-IDF with
logistic regression."""

import numpy as np
import numpy.typing as npt

from configs.delivery import GateSettings
from tasks.contracts import Check, VerdictName
from tasks.gate.advice import RowSource
from tasks.gate.decision import Claim
from tasks.gate.paired import Difference
from tasks.gate.quality import BETTER, Told, difference_of, disagreement, margin_claim, not_answered

Ids = npt.NDArray[np.int64]
NAME = "accuracy_above_baseline"
TEACHER = "teacher"
WAY_OUT = "or set gate.beat_baseline: false"


def baseline_checks(
    labels: Ids,
    candidate: Ids | None,
    teacher: Ids | None,
    baseline: Ids | None,
    settings: GateSettings,
    seed: int,
    rows: RowSource | None = None,
) -> list[Check | Claim]:
    """More accurate than the baseline, both of them: a margin of none, as being as good as it is not enough.

    A teacher that is measured no better is refused by that alone, as `gate.margin` below it then asks for nothing."""
    found: list[Check | Claim] = []
    for subject, answered in (("", candidate), (TEACHER, teacher)):
        difference = difference_of(labels, answered, baseline, "accuracy", settings, seed)
        if difference is None:
            found.append(not_answered(NAME, subject, 0.0))
            continue
        claim = margin_claim(NAME, subject, difference, 0.0, _about(difference, rows))
        useless = subject == TEACHER and difference.value <= 0
        right = [float((ids == labels).mean()) for ids in (answered, baseline) if ids is not None]
        found.append(_useless(claim.check, *right) if useless else claim)
    return found


def _useless(check: Check, teacher: float, baseline: float) -> Check:
    detail = (
        f"the teacher has {100 * teacher:.2f}% right and TF-IDF {100 * baseline:.2f}%, so being as good as the teacher "
        f"shows nothing: train it longer (train.epochs, train.learning_rate), take another model.source, {WAY_OUT}"
    )
    return check.model_copy(update={"verdict": "REJECTED", "detail": detail})


def _about(difference: Difference, rows: RowSource | None) -> Told:
    def told(verdict: VerdictName, level: float) -> str:
        if verdict != "INCONCLUSIVE":
            return disagreement(difference)
        needed = difference.rows_needed(0.0, level)
        if not needed or difference.value <= 0:
            apart = "as accurate as" if not difference.value else "measured less accurate than"
            return f"{apart} TF-IDF on {difference.rows:,} rows: {BETTER}, {WAY_OUT}"
        more = f": {rows.more(needed)}, {WAY_OUT}" if rows else ""
        return f"{difference.rows:,} rows do not tell the two apart; about {needed:,} would with 80% chance{more}"

    return told
