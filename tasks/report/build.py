"""Everything a run found out, as one tree of plain values: `report.json`."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hone.tasks import version
from hone.tasks.contracts import (
    ChampionAnswers,
    Contract,
    DistilledModel,
    DriftReport,
    EvaluationReport,
    ExportedModels,
    PreparedData,
    Promotion,
    PrunedModel,
    QuantizedModel,
    RegisteredVersion,
    StageResult,
    TrainedModel,
    Verdict,
)
from hone.tasks.report.format import FORMAT_VERSION
from hone.tasks.report.plots import Drawn
from hone.tasks.stage import RunContext, skip_stage

StageModel = TrainedModel | DistilledModel | PrunedModel | QuantizedModel

LATER = "it comes after this report"
"""Why a stage that a first report is written before is not in it."""


class Findings(NamedTuple):
    """What the stages of a run gave, of which its report tells."""

    data: PreparedData
    models: list[StageModel]
    """What the training stages made, in their order; of those that were skipped only the record is told."""
    exported: ExportedModels
    evaluation: EvaluationReport
    champion: ChampionAnswers
    verdict: Verdict
    registered: RegisteredVersion = RegisteredVersion(record=skip_stage("register", LATER, ""))
    promotion: Promotion = Promotion(record=skip_stage("promote", LATER, ""))
    drift: DriftReport | None = None
    """Of a run of `retrain`; None of `optimize`."""
    drawn: Drawn | None = None
    """The report's plots, where a first report has them already."""

    def in_order(self) -> list[StageResult]:
        """The stages' results, as they came."""
        late = [self.exported, self.evaluation, self.champion, self.verdict, self.registered, self.promotion]
        return [self.data, *([self.drift] if self.drift else []), *self.models, *late]


def build_report(context: RunContext, findings: Findings, examples: dict[str, Any]) -> dict[str, Any]:
    """The report. All of it survives `json.dumps(allow_nan=False)`: a number that is not finite becomes null.

    Args:
        examples: as `disagreements` gives them.
    """
    data, evaluation, champion, verdict = findings.data, findings.evaluation, findings.champion, findings.verdict
    registered, promotion, drift = findings.registered, findings.promotion, findings.drift
    made = {model.record.name: model for model in findings.models if model.record.status != "skipped"}
    return {
        "format_version": FORMAT_VERSION,
        "name": context.recipe.name,
        "verdict": verdict.verdict,
        "selected": evaluation.selected,
        "look": verdict.look,
        "level": verdict.level,
        "baseline": evaluation.baseline,
        "reference": evaluation.reference,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "folder": context.output,
        "seed": context.recipe.seed,
        "code_version": version.code_version(),
        "mlflow_run_id": context.mlflow_run_id,
        "data": {
            "digest": data.content_digest,
            "rows": data.rows,
            "labels": data.labels,
            "bad_rows": [_plain(kind) for kind in data.bad_rows],
            **({"shared_text": _plain(data.shared_text) | {"told": data.shared_text.told}} if data.shared_text else {}),
        },
        "stages": [_plain(result.record) for result in findings.in_order()],
        "candidates": [_plain(candidate) for candidate in evaluation.candidates],
        "metrics": [_plain(metric) for metric in evaluation.metrics],
        "checks": [_plain(check) for check in verdict.checks],
        "slices": [_plain(check) for check in verdict.slices],
        "handoffs": [_plain(handoff) for handoff in evaluation.handoffs],
        "session": _plain(evaluation.session) if evaluation.session else None,
        "serving": _plain(evaluation.serving) if evaluation.serving else None,
        "examples": examples,
        "champion": {
            "name": champion.name,
            "version": champion.version or None,
            **({"left_out": champion.note} if champion.note else {}),
            **({"old_data": champion.old_note} if champion.old_note else {}),
        },
        "drift": _plain(drift) if drift else None,
        "registered": {key: value for key, value in _plain(registered).items() if key != "record"},
        "promotion": _plain(promotion.change) if promotion.change else None,
        "machine": evaluation.machine,
        "evidence": _plain(evaluation.artifact),
        "notes": {name: notes for name, model in made.items() if (notes := _notes(model))},
        "warnings": [warning for model in made.values() for warning in model.checkpoint.warnings],
        "curves": {name: curves for name, model in made.items() if (curves := _plain(model.checkpoint)["curves"])},
        "recipe": context.recipe.model_dump(mode="json"),
    }


def _notes(model: StageModel) -> dict[str, Any]:
    notes: dict[str, Any] = _plain(model.checkpoint)["notes"]
    if isinstance(model, QuantizedModel):
        return {"scheme": model.scheme, "layers_kept": model.layers_kept, **notes}
    return notes


def _plain(contract: Contract) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(contract.model_dump_json())
    return plain
