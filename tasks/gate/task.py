"""Decides whether the selected model may ship. A refused or an open model is a result, not an exception."""

from typing import Any

from prefect import task

from tasks import evidence, store
from tasks.contracts import ChampionAnswers, EvaluationReport, PreparedData, Verdict
from tasks.stage import RunContext, Workshop, run_stage


@task(name="gate", retries=0)
def decide(context: RunContext, data: PreparedData, report: EvaluationReport, champion: ChampionAnswers) -> Verdict:
    """Holds the evidence against the recipe: quality, paired, against the teacher and the champion, on the whole test
    split, in batches and one text at a time, and on its slices, and against the champion on its own; speed, by its
    interval; size, placement, parity, and whether it serves."""
    recipe, settings = context.recipe, context.recipe.gate

    def body(workshop: Workshop) -> dict[str, Any]:
        # Imported here: a run that finds this stage finished does without scipy and torch.
        from tasks.gate import checks as demands
        from tasks.gate.old_data import old_data_checks
        from tasks.gate.quality import floor_check, predictions, quality_checks
        from tasks.gate.slices import slice_checks, slices_of
        from tasks.model.text import read_split, word_counts

        folder = store.open_artifact(report.artifact)
        labels = evidence.read_labels(folder)
        answered = predictions(evidence.read_logits(folder, report.selected))
        teacher = predictions(evidence.read_logits(folder, report.reference))
        others = {"teacher": teacher}
        if champion.artifact is not None:
            others["champion"] = predictions(evidence.read_logits(store.open_artifact(champion.artifact), "champion"))
        found = demands.exact_checks(settings, report)
        found += quality_checks(labels, answered, others, settings, workshop.seed)
        found += old_data_checks(settings, champion, workshop.seed)
        alone = predictions(evidence.read_logits(folder, f"{report.selected}+{evidence.ALONE}"))
        found += quality_checks(labels, alone, {f"teacher, {evidence.ALONE}": teacher}, settings, workshop.seed)
        for spoilt in recipe.evaluate.robustness:
            pair = [
                predictions(evidence.read_logits(folder, f"{name}+{spoilt}"))
                for name in (report.selected, report.reference)
            ]
            found += quality_checks(labels, pair[0], {f"teacher, {spoilt}": pair[1]}, settings, workshop.seed)
        if settings.beat_floor:
            floor = predictions(evidence.read_logits(folder, "floor"))
            found.append(floor_check(labels, answered, floor, settings, workshop.seed))
        found += demands.speed_checks(
            settings,
            report,
            evidence.read_calls(folder, report.selected),
            evidence.read_calls(folder, report.baseline),
            recipe.evaluate.cells,
            workshop.seed,
        )
        found += demands.placement_checks(settings, report)
        found += demands.parity_checks(settings, report.handoffs)
        found.append(demands.serving_check(report))
        rows = read_split(store.open_artifact(data.artifact), "test", recipe.data.slice_columns)
        slices = slices_of(labels, data.labels, word_counts(rows), rows.slices, settings)
        if answered is None or teacher is None:
            parts = []  # the checks above have refused it already
        else:
            parts = slice_checks(slices, labels, answered, teacher, settings, workshop.seed)
        return {
            "verdict": demands.verdict_of([*found, *parts]),
            "selected": report.selected,
            "checks": found,
            "slices": parts,
        }

    return run_stage(
        context,
        "gate",
        Verdict,
        body,
        settings={
            "gate": settings,
            "evaluate.robustness": recipe.evaluate.robustness,
            "data.slice_columns": recipe.data.slice_columns,
        },
        # The evidence's digest covers every answer and every timing that the verdict is computed from.
        inputs={
            "data": data.artifact.digest,
            "evaluation": report.artifact.digest,
            "champion": champion.digest,
            "old data": champion.old_artifact.digest if champion.old_artifact else champion.old_note,
        },
        code=("evidence.py",),
        libraries=("scipy", "statsmodels", "numpy"),
    )
