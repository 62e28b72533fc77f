"""The parts of the test split that a model has to bear on its own: a good average can hide a label that is lost."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hone.configs.delivery import GateSettings
from hone.tasks.contracts import Check
from hone.tasks.gate.advice import RowSource
from hone.tasks.gate.decision import Claim
from hone.tasks.gate.paired import Difference, paired_difference
from hone.tasks.gate.quality import about_margin, margin_claim, not_answered
from hone.tasks.objectives.judging import Mask
from hone.tasks.objectives.metric import Metric, Statistics

Ids = npt.NDArray[np.int64]


def slices_of(
    by_target: Mapping[str, Mask],
    words: Ids,
    columns: Mapping[str, Sequence[str]],
    settings: GateSettings,
) -> dict[str, Mask]:
    """Rows of each slice, by a name such as `label = negative`. They overlap: a row has a label and a length.

    Args:
        by_target: rows of each slice that the targets make (`Judging.slices`).
        words: [rows] words of each text, both texts of a pair together.
        columns: values [rows] of each of data.slice_columns.
    """
    result: dict[str, Mask] = {}
    if settings.slice_margin is None:
        return result
    if settings.slice_labels:
        result |= by_target
    result |= _by_length(words, settings.slice_lengths)
    for column, values in columns.items():
        several = np.array(values, dtype=object)
        result |= {f"{column} = {value or '(empty)'}": several == value for value in sorted(set(values))}
    return result


def slice_checks(
    slices: Mapping[str, Mask],
    candidate: Statistics,
    reference: Statistics,
    metric: Metric,
    settings: GateSettings,
    seed: int,
    rows: RowSource | None = None,
) -> list[Check | Claim]:
    """Whether the candidate is inside the slice margin of the reference in a metric, on each slice.

    A slice of fewer than `gate.min_slice_rows` rows is told and does not decide; one without a row fails, as nothing is
    known of it.

    Args:
        candidate, reference: statistics [rows, k] of the whole test split.
        metric: the primary one.
        rows: where more rows could come from.
    """
    margin = settings.slice_margin
    if margin is None:
        return []
    result: list[Check | Claim] = []
    for name, inside in slices.items():
        if not inside.any():
            detail = "no row of the test split belongs to it"
            check = not_answered("slice", name, -margin, metric.margin_unit)
            result.append(check.model_copy(update={"detail": detail, "rows": 0}))
            continue
        difference = paired_difference(
            candidate[inside], reference[inside], metric, resamples=settings.resamples, seed=seed
        )
        told = about_margin(difference, "gate.slice_margin", margin, rows, difference.rows / len(candidate))
        claim = margin_claim("slice", name, difference, margin, told)
        few = difference.rows < settings.min_slice_rows
        result.append(_told(claim, difference, settings) if few else claim)
    return result


def _told(claim: Claim, difference: Difference, settings: GateSettings) -> Check:
    """A slice that decides nothing."""
    few = f"{difference.rows} rows, fewer than gate.min_slice_rows = {settings.min_slice_rows}"
    return claim.check.model_copy(
        update={
            "verdict": "ACCEPTED" if difference.value > claim.check.threshold else "INCONCLUSIVE",
            "low": claim.low(settings.level),
            "high": claim.high(settings.level),
            "level": settings.level,
            "decides": False,
            "detail": f"{few}: told, not decided",
        }
    )


def _by_length(words: Ids, count: int) -> dict[str, Mask]:
    """About equally many rows each, cut between different lengths."""
    if not count or not len(words):
        return {}
    edges = np.unique(np.quantile(words, np.linspace(0, 1, count + 1)[1:-1], method="inverted_cdf"))
    bounds = [int(words.min()) - 1, *edges.astype(int).tolist(), int(words.max())]
    result = {}
    for low, high in itertools.pairwise(bounds):
        if high > low:
            shown = f"{low + 1}" if high == low + 1 else f"{low + 1}–{high}"
            result[f"length = {shown} words"] = (words > low) & (words <= high)
    return result
