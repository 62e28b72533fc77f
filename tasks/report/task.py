"""Tells what a run found out: in its output folder, in MLflow and in Prefect."""

import re
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks import evidence, store, tracking
from tasks.contracts import (
    ChampionAnswers,
    EvaluationReport,
    ExportedModels,
    PreparedData,
    Promotion,
    RegisteredVersion,
    Verdict,
)
from tasks.report.build import StageModel, build_report
from tasks.report.examples import lost_and_won
from tasks.report.summary import summary_markdown
from tasks.report.write import write_report
from tasks.stage import RunContext


@task(name="report", retries=0)
def publish_report(
    context: RunContext,
    data: PreparedData,
    models: list[StageModel],
    exported: ExportedModels,
    evaluation: EvaluationReport,
    champion: ChampionAnswers,
    verdict: Verdict,
    registered: RegisteredVersion,
    promotion: Promotion,
) -> dict[str, Any]:
    """Writes `report.json`, `report.html` and `model/` into the output folder and returns the report.

    MLflow's run of the pipeline gets the same files, the verdict as a tag, and the selected model's numbers; Prefect
    gets the table as an artifact.
    """
    examples = _examples(data, evaluation)
    report = build_report(
        context, data, models, exported, evaluation, champion, verdict, registered, promotion, examples
    )
    folder = Path(context.output)
    selected = next(model for model in exported.models if model.name == verdict.selected)
    store.copy_folder(store.open_artifact(selected.artifact), folder / "model")
    write_report(folder, report)
    with tracking.pipeline_log(context.mlflow_run_id) as log:
        for name in ("report.html", "report.json", "model"):
            log.file(folder / name, "model" if name == "model" else "")
        log.tags(
            {
                "hone.verdict": verdict.verdict,
                "hone.selected": verdict.selected,
                "hone.evidence": evaluation.artifact.digest,
            }
        )
        candidate = evaluation.candidate(evaluation.selected)
        log.metrics({**candidate.metrics, "speedup": candidate.speedup, "size_bytes": float(candidate.size_bytes)})
    create_markdown_artifact(
        summary_markdown(report),
        key=f"{re.sub(r'[^a-z0-9]+', '-', context.recipe.name.lower())}-report",
        description=f"{verdict.verdict}: {folder / 'report.html'}",
    )
    return report


def _examples(data: PreparedData, evaluation: EvaluationReport) -> dict[str, Any]:
    from tasks.model.text import read_split

    folder, rows = store.open_artifact(evaluation.artifact), read_split(store.open_artifact(data.artifact), "test")
    return lost_and_won(
        evidence.read_labels(folder),
        evidence.read_logits(folder, evaluation.selected),
        evidence.read_logits(folder, evaluation.reference),
        texts=rows.texts,
        pairs=rows.pairs,
        label_names=data.labels,
    )
