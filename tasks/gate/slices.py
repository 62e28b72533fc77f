"""The parts of the test split that a model has to bear on its own: a good average can hide a label that is lost."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from configs.delivery import GateSettings
from tasks.contracts import Check
from tasks.gate.paired import Difference, paired_difference
from tasks.gate.quality import disagreement, open_question

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def slices_of(
    labels: Ids,
    label_names: Sequence[str],
    words: Ids,
    columns: Mapping[str, Sequence[str]],
    settings: GateSettings,
) -> dict[str, Mask]:
    """Rows of each slice, by a name such as `label = negative`. They overlap: a row has a label and a length.

    Args:
        labels: [rows] label ids.
        words: [rows] words of each text, both texts of a pair together.
        columns: values [rows] of each of data.slice_columns.
    """
    found: dict[str, Mask] = {}
    if settings.slice_margin is None:
        return found
    if settings.slice_labels:
        found |= {f"label = {name}": labels == place for place, name in enumerate(label_names)}
    found |= _by_length(words, settings.slice_lengths)
    for column, values in columns.items():
        several = np.array(values, dtype=object)
        found |= {f"{column} = {value or '(empty)'}": several == value for value in sorted(set(values))}
    return found


def slice_checks(
    slices: Mapping[str, Mask], labels: Ids, candidate: Ids, reference: Ids, settings: GateSettings, seed: int
) -> list[Check]:
    """Whether the candidate's accuracy is inside the slice margin of the reference's, on each slice.

    With many slices one of them looks bad by chance, so the level is shared out among them: the clearest slice is held
    to level / slices, the next to level / (slices - 1), and so on. A slice of fewer than `gate.min_slice_rows` rows is
    told and does not decide; one without a row fails, as nothing is known of it.

    Source: Holm 1979, as statsmodels has it.
    """
    margin = settings.slice_margin
    if margin is None:
        return []
    found: dict[str, Difference] = {
        name: paired_difference(
            labels[rows], candidate[rows], reference[rows], "accuracy", resamples=settings.resamples, seed=seed
        )
        for name, rows in slices.items()
        if rows.any()
    }
    deciding = [name for name, difference in found.items() if difference.rows >= settings.min_slice_rows]
    kept = dict(zip(deciding, holm([found[name].p_not_inferior(margin) for name in deciding]), strict=True))
    lost = dict(zip(deciding, holm([found[name].p_inferior(margin) for name in deciding]), strict=True))
    levels = _step_levels([found[name].p_not_inferior(margin) for name in deciding], settings.level)
    level_of = dict(zip(deciding, levels, strict=True))
    checks = []
    for name in slices:
        difference = found.get(name)
        if difference is None:
            checks.append(_check(name, None, margin, "REJECTED", None, "no row of the test split belongs to it"))
        elif name not in kept:
            detail = (
                f"{difference.rows} rows, fewer than gate.min_slice_rows = {settings.min_slice_rows}: told, not decided"
            )
            checks.append(_check(name, difference, margin, _point(difference, margin), settings.level, detail, False))
        else:
            low = difference.low(level_of[name])
            if kept[name] <= settings.level and low > -margin:
                verdict, detail = "ACCEPTED", disagreement(difference)
            elif lost[name] <= settings.level:
                verdict, detail = "REJECTED", disagreement(difference)
            else:
                verdict, detail = "INCONCLUSIVE", open_question(difference, margin, level_of[name])
            checks.append(_check(name, difference, margin, verdict, level_of[name], detail))
    return checks


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in their order."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    corrected: list[float] = multipletests(list(p_values), method="holm")[1].tolist()
    return corrected


def _step_levels(p_values: Sequence[float], level: float) -> list[float]:
    """The level that Holm's procedure holds each p value to."""
    order = np.argsort(p_values, kind="stable")
    levels = np.empty(len(p_values))
    levels[order] = [level / (len(p_values) - place) for place in range(len(p_values))]
    return levels.tolist()


def _by_length(words: Ids, count: int) -> dict[str, Mask]:
    """About equally many rows each, cut between different lengths."""
    if not count or not len(words):
        return {}
    edges = np.unique(np.quantile(words, np.linspace(0, 1, count + 1)[1:-1], method="inverted_cdf"))
    bounds = [int(words.min()) - 1, *edges.astype(int).tolist(), int(words.max())]
    found = {}
    for low, high in itertools.pairwise(bounds):
        if high > low:
            shown = f"{low + 1}" if high == low + 1 else f"{low + 1}–{high}"
            found[f"length = {shown} words"] = (words > low) & (words <= high)
    return found


def _point(difference: Difference, margin: float) -> str:
    return "ACCEPTED" if difference.value > -margin else "INCONCLUSIVE"


def _check(
    name: str,
    difference: Difference | None,
    margin: float,
    verdict: str,
    level: float | None,
    detail: str,
    decides: bool = True,
) -> Check:
    bounds = (difference.low(level), difference.high(level)) if difference and level else (None, None)
    return Check.model_validate(
        {
            "name": "slice",
            "subject": name,
            "verdict": verdict,
            "value": difference.value if difference else None,
            "threshold": -margin,
            "unit": "points",
            "direction": "above",
            "low": bounds[0],
            "high": bounds[1],
            "level": level,
            "decides": decides,
            "detail": detail,
            "rows": difference.rows if difference else 0,
        }
    )
