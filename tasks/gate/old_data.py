"""The new model against the champion on the rows that the champion was judged on: what it could, it still has to."""

import numpy as np

from configs.delivery import GateSettings
from tasks import evidence, store
from tasks.contracts import ChampionAnswers, Check
from tasks.gate.decision import Claim
from tasks.gate.quality import champion_predictions, predictions, quality_checks

ON_OLD_DATA = "champion, on its own test rows"


def old_data_checks(settings: GateSettings, champion: ChampionAnswers, seed: int) -> list[Check | Claim]:
    """Against the champion on its own test split. Where those rows cannot be had, that is a refusal if the recipe
    requires them, and else none of the checks."""
    if champion.old_artifact is not None:
        folder = store.open_artifact(champion.old_artifact)
        labels = evidence.read_labels(folder)
        answered = predictions(evidence.read_logits(folder, "candidate"))
        logits = evidence.read_logits(folder, "champion")
        before = None if logits is None else champion_predictions(logits)[0]
        return quality_checks(labels, answered, {ON_OLD_DATA: before}, settings, seed)
    if settings.old_data != "require" or not champion.old_note:
        return []
    refused = quality_checks(np.zeros(0, np.int64), None, {ON_OLD_DATA: None}, settings, seed)
    return [check.model_copy(update={"detail": champion.old_note}) for check in refused if isinstance(check, Check)]
