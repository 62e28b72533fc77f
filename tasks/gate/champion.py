"""The new model against the champion on the new test split, on rows that neither of the two has learned from."""

from dataclasses import replace

from hone.configs.delivery import GateSettings
from hone.tasks import evidence, store
from hone.tasks.contracts import ChampionAnswers, Check, VerdictName
from hone.tasks.gate.advice import RowSource
from hone.tasks.gate.decision import Claim
from hone.tasks.gate.quality import not_compared, quality_checks
from hone.tasks.objectives.judging import Judging, Targets, compared
from hone.tasks.objectives.metric import Statistics

CHAMPION = "champion"
WAY_OUT = "Run it again when it is there (what is trained is kept), or set gate.compare_champion: false"


def champion_checks(
    settings: GateSettings,
    champion: ChampionAnswers,
    judging: Judging,
    targets: Targets,
    candidate: Statistics | None,
    seed: int,
    more: RowSource | None = None,
) -> list[Check | Claim]:
    """Against the champion; none where there is none. Where it could not be asked, or has learned from every test row,
    they stay open.

    Args:
        targets: [rows] of the whole test split.
        candidate: statistics [rows, k] of the selected model there.
        more: where more rows could come from; None where they could not.
    """
    metrics = compared(judging, settings.metrics)
    if champion.missing:
        return [*not_compared(metrics, settings, CHAMPION, f"{champion.missing}. {WAY_OUT}")]
    if champion.artifact is None:
        return [*not_compared(metrics, settings, CHAMPION, champion.note)] if champion.version and champion.note else []
    folder = store.open_artifact(champion.artifact)
    rows = evidence.read_rows(folder, len(targets))
    logits = evidence.read_logits(folder, CHAMPION)
    before = None if logits is None else judging.statistics(logits, targets[rows])
    answered = None if candidate is None else candidate[rows]
    found = quality_checks(answered, {CHAMPION: before}, metrics, settings, seed, more)
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
