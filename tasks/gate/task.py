"""Decides whether the selected model may ship. A refused model is a result, not an exception."""

from typing import Any

from prefect import task

from tasks.contracts import EvaluationReport, Verdict
from tasks.gate.checks import run_checks, verdict_of
from tasks.stage import RunContext, Workshop, run_stage


@task(name="gate", retries=0)
def decide(context: RunContext, report: EvaluationReport) -> Verdict:
    """Holds what was measured against the thresholds of the recipe."""
    settings = context.recipe.gate

    def body(workshop: Workshop) -> dict[str, Any]:
        checks = run_checks(settings, report)
        return {"verdict": verdict_of(checks), "selected": report.selected, "checks": checks}

    return run_stage(
        context,
        "gate",
        Verdict,
        body,
        settings={"gate": settings},
        # The evidence's digest covers every answer and every timing that the report's numbers were computed from.
        inputs={"evaluation": report.artifact.digest},
        code=(),
    )
