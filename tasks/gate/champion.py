"""The new model against the champion on the new test split, on rows that neither of the two has learned from."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from configs.delivery import GateSettings
from tasks import evidence, store
from tasks.contracts import ChampionAnswers, Check, VerdictName
from tasks.gate.advice import RowSource
from tasks.gate.decision import Claim
from tasks.gate.quality import champion_predictions, not_compared, quality_checks

CHAMPION = "champion"
WAY_OUT = "Run it again when it is there (what is trained is kept), or set gate.compare_champion: false"


def champion_checks(
    settings: GateSettings,
    champion: ChampionAnswers,
    labels: npt.NDArray[np.int64],
    candidate: npt.NDArray[np.int64] | None,
    seed: int,
    more: RowSource | None = None,
) -> list[Check | Claim]:
    """Against the champion; none where there is none. Where it could not be asked, or has learned from every test row,
    they stay open.

    Args:
        labels: [rows] of the whole test split.
        candidate: [rows] predictions of the selected model.
        more: where more rows could come from; None where they could not.
    """
    if champion.missing:
        return [*not_compared(settings, CHAMPION, f"{champion.missing}. {WAY_OUT}")]
    if champion.artifact is None:
        return [*not_compared(settings, CHAMPION, champion.note)] if champion.version and champion.note else []
    folder = store.open_artifact(champion.artifact)
    rows = evidence.read_rows(folder, len(labels))
    logits = evidence.read_logits(folder, CHAMPION)
    before = None if logits is None else champion_predictions(logits)[0]
    answered = None if candidate is None else candidate[rows]
    found = quality_checks(labels[rows], answered, {CHAMPION: before}, settings, seed, more)
    return [_with_note(one, champion.note) for one in found]


def _with_note(found: Check | Claim, note: str) -> Check | Claim:
    """The check with what it says beside its numbers, and then the note."""
    if not note:
        return found
    if isinstance(found, Check):
        return found.model_copy(update={"detail": f"{found.detail}; {note}"})
    told = found.told

    def also(verdict: VerdictName, level: float) -> str:
        return f"{told(verdict, level)}; {note}"

    return replace(found, told=also)
