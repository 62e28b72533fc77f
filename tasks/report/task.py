"""Tells what a run found out: in its output folder, in MLflow and in Prefect."""

import base64
import re
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_image_artifact, create_link_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.utilities.context import get_flow_run_id

from hone.configs.delivery import Texts
from hone.tasks import evidence, output, store, tracking
from hone.tasks.contracts import EvaluationReport, PreparedData, RegisteredVersion, Verdict
from hone.tasks.model.runtime.delivered import default_session, deliver
from hone.tasks.report import wording
from hone.tasks.report.build import Findings, build_report
from hone.tasks.report.examples import disagreements
from hone.tasks.report.page import render_page
from hone.tasks.report.plots import Drawn, draw, standalone
from hone.tasks.report.summary import summary_markdown
from hone.tasks.report.write import write_files
from hone.tasks.stage import RunContext
from hone.tasks.texts import shown
from hone.tasks.tracking import pages


@task(name="report before promotion", retries=0)
def write_report(context: RunContext, findings: Findings) -> Drawn:
    """Writes `report.json`, `report.html` and `model/` into the output folder, before the champion moves: a run whose
    report cannot be written leaves the champion as it is. Returns the plots."""
    return _write(context, findings)[1]


@task(name="report", retries=0)
def publish_report(context: RunContext, findings: Findings) -> dict[str, Any]:
    """Writes `report.json`, `report.html` and `model/` into the output folder and returns the report.

    MLflow's run of the pipeline gets the same files, the verdict as a tag, and the selected model's numbers; Prefect
    gets the table, the plots and links to MLflow as artifacts.
    """
    evaluation, verdict, registered = findings.evaluation, findings.verdict, findings.registered
    report, drawn = _write(context, findings)
    folder = Path(context.output)
    with tracking.pipeline_log(context.mlflow_run_id) as log:
        for name in ("report.html", "report.json", "model"):
            log.file(folder / name, "model" if name == "model" else "")
        version = f"{registered.name}/{registered.version}" if registered.version else ""
        tags = {
            "hone.verdict": verdict.verdict,
            "hone.selected": verdict.selected,
            "hone.evidence": evaluation.artifact.digest,
            "hone.registered": version,
            "mlflow.note.content": note(verdict, version, context.prefect_page),
        }
        log.tags({name: value for name, value in tags.items() if value})
        candidate = evaluation.candidate(evaluation.selected)
        log.metrics(
            {
                **candidate.metrics,
                "speedup": candidate.speedup,
                "speedup_per_core": candidate.speedup_per_core,
                "size_bytes": float(candidate.size_bytes),
            }
        )
    _show(report, registered, drawn)
    return report


def _write(context: RunContext, findings: Findings) -> tuple[dict[str, Any], Drawn]:
    """Raises what went wrong with the page when the rest is in its place: the numbers and the model are hours of work,
    and whoever finds them finds out why there is no page."""
    evaluation = findings.evaluation
    examples = _examples(findings.data, evaluation, context.recipe.report.texts, context.recipe.objective)
    report = build_report(context, findings, examples)
    selected = next(model for model in findings.exported.models if model.name == findings.verdict.selected)
    folder, page, failure = Path(context.output), "", None
    try:
        drawn = findings.drawn or draw(report)
        page = render_page(report, drawn)
    except Exception as error:  # noqa: BLE001 - raised below, with the rest in its place
        failure = error
    with output.writing(folder) as room:
        session = evaluation.session or default_session(context.recipe)
        deliver(store.open_artifact(selected.artifact), room / "model", session)
        write_files(room, report, page)
    if context.latest:
        output.point(Path(context.latest), folder)
    if failure:
        raise failure
    return report, drawn


def note(verdict: Verdict, version: str, prefect_page: str) -> str:
    """What MLflow shows above a run, in Markdown: the verdict, the version it became, and the way to Prefect.

    Args:
        version: NAME/VERSION; empty where nothing was registered.
        prefect_page: empty where no server has the run.
    """
    lines = [
        f"**{verdict.headline()}**",
        f"Registered as `{version}`." if version else "Not registered.",
        f"[The run in Prefect]({prefect_page})" if prefect_page else "",
    ]
    return "\n\n".join(line for line in lines if line)


def _show(report: dict[str, Any], registered: RegisteredVersion, drawn: Drawn) -> None:
    """The table with the way to the report, the plots and the ways to MLflow, as artifacts.

    Prefect's page of a run shows what belongs to the run first, and below it, in no order, what belongs to its tasks:
    so the table alone is made the run's."""
    prefix = re.sub(r"[^a-z0-9]+", "-", report["name"].lower())
    page = pages.artifact_page(report["mlflow_run_id"], "report.html")
    where = f"[the whole report]({page})" if page else f"the whole report is {report['folder']}/report.html"
    about = f"{report['verdict']}: {where}"
    table = ArtifactCreate(
        type="markdown",
        key=f"{prefix}-report",
        description=about,
        data=summary_markdown(report),
        flow_run_id=get_flow_run_id(),
    )
    with get_client(sync_client=True) as client:
        client.create_artifact(table)
    metric = wording.metrics(report)[0]
    name = f"{metric['name'].replace('_', '-')}-against-latency"
    plots = {name: (f"test {metric['title']} against latency", drawn.scatter)}
    for stage, svg in drawn.curves.items():
        plots[f"curves-{stage}"] = (f"learning curves of {stage}", svg)
    for name, (text, svg) in plots.items():
        if svg:
            coded = base64.b64encode(standalone(svg).encode()).decode()
            create_image_artifact(f"data:image/svg+xml;base64,{coded}", key=f"{prefix}-{name}", description=text)
    links = {
        "mlflow-run": (pages.run_page(report["mlflow_run_id"]), "the run in MLflow"),
        "registry-version": (
            pages.version_page(registered.name, registered.version),
            f"{registered.name} version {registered.version} in MLflow's registry",
        ),
    }
    for name, (link, text) in links.items():
        if link:
            create_link_artifact(link, link_text=text, key=f"{prefix}-{name}", description=text)


def _examples(data: PreparedData, evaluation: EvaluationReport, how: Texts, task_name: str) -> dict[str, Any]:
    from hone.tasks.model.text import read_split
    from hone.tasks.objectives.judging import judging

    folder, rows = store.open_artifact(evaluation.artifact), read_split(store.open_artifact(data.artifact), "test")
    return disagreements(
        judging(task_name),
        evidence.read_labels(folder),
        evidence.read_logits(folder, evaluation.selected),
        evidence.read_logits(folder, evaluation.reference),
        texts=[shown(text, how) for text in rows.texts],
        pairs=None if rows.pairs is None else [shown(text, how) for text in rows.pairs],
        label_names=data.labels,
    )
