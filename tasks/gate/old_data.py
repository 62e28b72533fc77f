"""The new model against the champion on the rows that the champion was judged on: what it could, it still has to."""

from hone.configs.delivery import GateSettings
from hone.tasks import evidence, store
from hone.tasks.contracts import ChampionAnswers, Check
from hone.tasks.gate.decision import Claim
from hone.tasks.gate.quality import if_sound, quality_checks
from hone.tasks.objectives.judging import Judging, compared

ON_OLD_DATA = "champion, on its own test rows"


def old_data_checks(
    settings: GateSettings, champion: ChampionAnswers, judging: Judging, seed: int
) -> list[Check | Claim]:
    """Against the champion on its own test split. Where those rows cannot be had, that is a refusal if the recipe
    requires them, and else none of the checks."""
    metrics = compared(judging, settings.metrics)
    if champion.old_artifact is not None:
        folder = store.open_artifact(champion.old_artifact)
        targets = evidence.read_labels(folder)
        answered, before = (
            None if answers is None else judging.statistics(answers, targets)
            for answers in (evidence.read_logits(folder, name) for name in ("candidate", "champion"))
        )
        return quality_checks(if_sound(judging, answered), {ON_OLD_DATA: before}, metrics, settings, seed)
    if settings.old_data != "require" or not champion.old_note:
        return []
    refused = quality_checks(None, {ON_OLD_DATA: None}, metrics, settings, seed)
    return [check.model_copy(update={"detail": champion.old_note}) for check in refused if isinstance(check, Check)]
