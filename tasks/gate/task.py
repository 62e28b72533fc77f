"""Decides whether the selected model may ship. A refused or an open model is a result, not an exception."""

from typing import TYPE_CHECKING, Any

from prefect import task

from hone.tasks import evidence, store, tracking
from hone.tasks.contracts import ChampionAnswers, Check, EvaluationReport, PreparedData, Verdict
from hone.tasks.errors import RegistryError
from hone.tasks.gate.advice import row_source
from hone.tasks.gate.looks import Look, next_look, not_counted, rows_digest
from hone.tasks.stage import RunContext, StageWorkspace, run_stage

if TYPE_CHECKING:  # a run that finds this stage finished does without what they need
    from hone.tasks.objectives.judging import Judging, Mask, Targets


@task(name="gate", retries=0)
def decide(context: RunContext, data: PreparedData, report: EvaluationReport, champion: ChampionAnswers) -> Verdict:
    """Holds the evidence against the recipe: quality, paired, against the teacher and the champion, on the whole test
    split, in batches and one text at a time, and on its slices, and against the champion on its own; speed, by its
    interval; size, placement, parity, and whether it serves."""
    recipe, settings = context.recipe, context.recipe.gate
    more = row_source(recipe.data, data.rows)
    model = recipe.register_.model_name or recipe.name
    candidate, rows = report.candidate(report.selected).digest, rows_digest(store.open_artifact(data.artifact))
    look = _look(context, model, rows, candidate)

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        # Imported here: a run that finds this stage finished does without scipy and torch.
        from hone.tasks.gate import checks as demands
        from hone.tasks.gate.baseline import baseline_checks
        from hone.tasks.gate.champion import champion_checks
        from hone.tasks.gate.decision import Claim, verdict_of
        from hone.tasks.gate.decision import decide as decided
        from hone.tasks.gate.old_data import old_data_checks
        from hone.tasks.gate.quality import if_sound, quality_checks
        from hone.tasks.gate.slices import slice_checks
        from hone.tasks.objectives.judging import compared, judging
        from hone.tasks.objectives.metric import Statistics

        folder, seed = store.open_artifact(report.artifact), workspace.seed
        targets, objective = evidence.read_labels(folder), judging(recipe.objective)
        metrics, primary = compared(objective, settings.metrics), objective.metrics[objective.primary]

        def answers_of(name: str) -> Statistics | None:
            answers = evidence.read_logits(folder, name)
            return None if answers is None else if_sound(objective, objective.statistics(answers, targets))

        answered, teacher = answers_of(report.selected), answers_of(report.reference)
        found: list[Check | Claim] = [*demands.exact_checks(settings, report, primary)]
        found += quality_checks(answered, {"teacher": teacher}, metrics, settings, seed, more)
        found += champion_checks(settings, champion, objective, targets, answered, seed, more)
        found += old_data_checks(settings, champion, objective, seed)
        alone = answers_of(f"{report.selected}+{evidence.ALONE}")
        found += quality_checks(alone, {f"teacher, {evidence.ALONE}": teacher}, metrics, settings, seed, more)
        for perturbed in recipe.evaluate.robustness:
            pair = [answers_of(f"{name}+{perturbed}") for name in (report.selected, report.reference)]
            found += quality_checks(pair[0], {f"teacher, {perturbed}": pair[1]}, metrics, settings, seed, more)
        if settings.beat_baseline:
            baseline, title = answers_of("floor"), objective.baseline_title
            found += baseline_checks(answered, teacher, baseline, primary, title, settings, seed, more)
        found += demands.speed_checks(
            settings,
            report,
            evidence.read_calls(folder, report.selected),
            evidence.read_calls(folder, report.baseline),
            recipe.evaluate.cells,
            seed,
            [
                evidence.read_calls(folder, f"{name}+{evidence.ONE_THREAD}")
                for name in (report.selected, report.baseline)
            ],
        )
        found += demands.placement_checks(settings, report)
        found += demands.parity_checks(settings, report.handoffs)
        found.append(demands.serving_check(report))
        slices = _slices(context, data, objective, targets)
        parts = []  # of a model without answers: the checks above refuse it already
        if answered is not None and teacher is not None:
            parts = slice_checks(slices, answered, teacher, primary, settings, seed, more)
        found = [*([look.check] if look.check else []), *found]
        checks = decided([*found, *parts], look.level, settings.level)
        return {
            "look": look.number,
            "level": look.level,
            "verdict": verdict_of(checks),
            "selected": report.selected,
            "checks": checks[: len(found)],
            "slices": checks[len(found) :],
        }

    verdict = run_stage(
        context,
        "gate",
        Verdict,
        body,
        settings={
            "gate": settings,
            "evaluate.robustness": recipe.evaluate.robustness,
            "data.slice_columns": recipe.data.slice_columns,
            "look": [look.number, look.level],
            "data.test_fraction": more.fraction,
            "task": recipe.objective,
        },
        # The evidence's digest covers every answer and every timing that the verdict is computed from.
        inputs={
            "data": data.artifact.digest,
            "evaluation": report.artifact.digest,
            "champion": champion.digest,
            "champion's answers": champion.artifact.digest if champion.artifact else champion.missing or champion.note,
            "old data": champion.old_artifact.digest if champion.old_artifact else champion.old_note,
        },
        libraries=("scipy", "numpy"),
    )
    with tracking.pipeline_log(context.mlflow_run_id) as log:
        log.tags(
            {
                tracking.LOOK: str(look.number),
                tracking.LOOK_LEVEL: f"{look.level:.6g}",
                tracking.LOOK_MODEL: model,
                tracking.LOOK_ROWS: rows,
                tracking.LOOK_CANDIDATE: candidate,
            }
        )
    return verdict


def _slices(context: RunContext, data: PreparedData, objective: "Judging", targets: "Targets") -> "dict[str, Mask]":
    """Rows of the test split of each slice, by its name."""
    from hone.tasks.gate.slices import slices_of
    from hone.tasks.model.text import read_split, word_counts

    prepared = store.open_artifact(data.artifact)
    rows = read_split(prepared, "test", context.recipe.data.slice_columns)
    by_target = objective.slices(targets, data.labels, rows, lambda: read_split(prepared, "train"))
    return slices_of(by_target, word_counts(rows), rows.slices, context.recipe.gate)


def _look(context: RunContext, model: str, rows: str, candidate: str) -> Look:
    """Which look at the test rows this is, as MLflow recalls the others; of a run that it does not keep, the first."""
    settings = context.recipe.gate
    try:
        earlier = tracking.looks(model, rows) if context.mlflow_run_id else []
    except RegistryError as error:
        return not_counted(settings.level, str(error))
    return next_look(earlier, candidate, settings.level, settings.looks)
