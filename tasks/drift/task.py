"""Compares the new data with what the champion learned from, before anything is trained."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact

from hone.tasks import lineage, store, tracking
from hone.tasks.contracts import DriftReport, PreparedData
from hone.tasks.drift.table import drift_markdown
from hone.tasks.errors import HoneError
from hone.tasks.stage import RunContext, StageWorkspace, run_stage, skip_stage

if TYPE_CHECKING:  # they need torch, and a run that has nothing to compare does not
    from hone.tasks.drift.measure import Sample
    from hone.tasks.model.text import Rows

STAGE = "drift"
ROWS = 5_000
"""Rows of each side that are compared, and that the champion answers at most. They lie in the order of their hashes, so
the first are a fair sample."""


@task(name=STAGE, retries=0)
def report_drift(context: RunContext, data: PreparedData) -> DriftReport:
    """How this run's data differ from the champion's, as a table in MLflow and Prefect. Skipped where there is no
    champion, where it learned from these very data, and where what it learned from is not there any more. Where they
    cannot be compared, that is told: it decides nothing, so it ends no run."""
    try:
        report = _measured(context, data)
    except HoneError as error:
        report = DriftReport(record=skip_stage(STAGE, f"not compared: {str(error).strip()}", ""))
    create_markdown_artifact(
        drift_markdown(report.model_dump()),
        key=f"{re.sub(r'[^a-z0-9]+', '-', context.recipe.name.lower())}-drift",
        description=report.headline() or report.record.reason,
    )
    return report


def _measured(context: RunContext, data: PreparedData) -> DriftReport:
    recipe = context.recipe
    name = recipe.register_.model_name or recipe.name
    found = tracking.version_at(name, tracking.CHAMPION) if context.mlflow_run_id else None
    if found is None:
        return DriftReport(record=skip_stage(STAGE, f"{name} has no champion yet", ""))
    version, old = found, lineage.data_of_version(found)
    if old.data is None:
        return DriftReport(record=skip_stage(STAGE, old.note, ""))
    before = old.data
    if before.artifact.digest == data.artifact.digest:
        return DriftReport(record=skip_stage(STAGE, f"version {version.version} learned from these very data", ""))

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        from hone.tasks.drift.embed import write_embedder
        from hone.tasks.drift.features import words
        from hone.tasks.drift.measure import measure
        from hone.tasks.model.text import read_split, texts_of

        model = tracking.download(version, workspace.scratch / "champion")["model"]
        embedder = write_embedder(model, workspace.scratch / "embedder")
        folders = [store.open_artifact(side.artifact) for side in (before, data)]
        seen = [read_split(folders[0], split) for split in ("train", "validation")]
        learned = _sample(context, before, folders[0], [], model, embedder)
        now = _sample(context, data, folders[1], seen, model, embedder)
        known = {word for text in texts_of(seen[0]) for word in words(text)}
        parts = measure(
            learned,
            now,
            known,
            recipe.retrain.drift_index,
            workspace.seed,
            recipe.report.texts,
            objective=recipe.objective,
        )
        return {
            "name": name,
            "version": version.version,
            "rows": {"before": len(learned.texts), "now": len(now.texts)},
            "parts": parts,
        }

    report = run_stage(
        context,
        STAGE,
        DriftReport,
        body,
        settings={
            "model.max_length": recipe.model.max_length,
            "evaluate.batch_size": recipe.evaluate.batch_size,
            "evaluate.threads": recipe.evaluate.threads,
            "export.providers": recipe.export.providers,
            "report.texts": recipe.report.texts,
            "objective": recipe.objective,
            "retrain.drift_index": recipe.retrain.drift_index,
            "version": version.version,
        },
        inputs={
            "data": data.artifact.digest,
            "old data": before.artifact.digest,
            "champion": version.tags.get("hone.model_digest", "") or version.source,
        },
        libraries=("scipy", "scikit-learn", "numpy", "onnxruntime", "onnxruntime-gpu"),
    )
    with tracking.pipeline_log(report.record.mlflow_run_id) as log:
        log.text(drift_markdown(report.model_dump()), "drift.md")
    return report


def _sample(
    context: RunContext, data: PreparedData, folder: Path, seen: list["Rows"], model: Path, embedder: Path
) -> "Sample":
    """What of one side is compared.

    Args:
        folder: where its splits lie.
        seen: rows that the champion was trained or selected on; of its own data, these are no test rows.
        model: the champion's folder.
        embedder: that of `write_embedder`.
    """
    from hone.tasks.drift.features import kinds
    from hone.tasks.drift.measure import Sample
    from hone.tasks.model.runtime.model_under_test import registered
    from hone.tasks.model.runtime.predict import embed, predict
    from hone.tasks.model.text import exclude_training_rows, read_split, texts_of
    from hone.tasks.objectives.ragged import row_means

    recipe = context.recipe
    train, test = (read_split(folder, split) for split in ("train", "test"))
    fair = test.pick(exclude_training_rows(test, seen)[:ROWS])
    held_out = texts_of(fair)
    if seen:  # of the new data, new training rows tell of new words too
        held_out = [*held_out, *texts_of(train.pick(exclude_training_rows(train, seen)[: ROWS - len(held_out)]))]
    answers, embeddings = None, None
    if len(fair):
        how: dict[str, Any] = {
            "max_length": recipe.model.max_length,
            "batch_size": recipe.evaluate.batch_size,
            "providers": recipe.export.providers,
            "threads": recipe.evaluate.threads,
        }
        answers, embeddings = row_means(predict(registered(model), fair, **how)), embed(embedder, fair, **how)
    train = train.pick(range(min(ROWS, len(train))))
    return Sample(
        texts=texts_of(train),
        labels=[] if data.target in ("text", "messages") else kinds(train, data.labels),
        held_out=held_out,
        answers=answers,
        embeddings=embeddings,
        numbers=train.labels if np.issubdtype(train.labels.dtype, np.floating) else None,
    )
