"""Asks the registered champion about this run's test split, and both models about the champion's own, so that the gate
can hold the new model against it on the new data and on the old: on rows that neither has learned from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from hone.configs.recipe import Recipe
from hone.tasks import evidence, lineage, store, tracking
from hone.tasks.contracts import Artifact, ChampionAnswers, ExportedModels, PreparedData
from hone.tasks.errors import HoneError
from hone.tasks.redact import without_credentials
from hone.tasks.stage import RunContext, StageWorkspace, run_stage, skip_stage

if TYPE_CHECKING:  # it needs torch, and a run that has no champion to ask does not
    from hone.tasks.model.text import Rows
    from hone.tasks.objectives.judging import Answers

STAGE = "champion"


@task(name=STAGE, retries=0)
def evaluate_champion(context: RunContext, data: PreparedData, exported: ExportedModels) -> ChampionAnswers:
    """The champion's answers to the rows that it was neither trained nor selected on; and where it learned from other
    data, its own and the new model's on its own test split.

    Skipped where none is registered, where the recipe does not compare with it, and where it is the very model that
    this run made. Where it cannot be asked, that is told, and the gate leaves the comparison open."""
    recipe = context.recipe
    name = recipe.register_.model_name or recipe.name
    if not recipe.gate.compare_champion:
        return ChampionAnswers(record=skip_stage(STAGE, "gate.compare_champion is false", ""))
    try:
        return _asked(context, data, exported, name)
    except HoneError as error:
        why = without_credentials(str(error)).strip()
        return ChampionAnswers(record=skip_stage(STAGE, f"not compared: {why}", ""), name=name, missing=why)


def _asked(context: RunContext, data: PreparedData, exported: ExportedModels, name: str) -> ChampionAnswers:
    recipe = context.recipe
    found = tracking.version_at(name, tracking.CHAMPION) if context.mlflow_run_id else None
    digest = found.tags.get("hone.model_digest", "") if found else ""
    if found is None:
        return ChampionAnswers(record=skip_stage(STAGE, f"{name} has no champion yet", ""))
    if digest == exported.models[-1].artifact.digest:
        return ChampionAnswers(record=skip_stage(STAGE, f"version {found.version} is this very model", ""))
    version, candidate = found, exported.models[-1].artifact
    learned = lineage.data_of_version(found)
    if learned.data is not None and learned.data.artifact.digest == data.artifact.digest:
        learned = lineage.OldData()  # from this run's training rows: its test rows are fair to both
    old = lineage.OldData() if recipe.gate.old_data == "ignore" else learned

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        from hone.tasks.champion.answers import asked_as
        from hone.tasks.model.text import read_split

        now = store.open_artifact(data.artifact)
        files = tracking.download(version, workspace.scratch / "champion")
        folder, served = asked_as(f"{version.name} version {version.version}", files, _own(recipe))
        rows = read_split(now, "test")
        fair, note = _fair(rows, learned)
        if fair:
            answers = workspace.folder / "answers"
            evidence.save_logits(answers, {STAGE: _ask(recipe, folder, rows.pick(fair), data.labels, served)})
            evidence.save_rows(answers, fair)
        models = {STAGE: (folder, served), "candidate": (store.open_artifact(candidate), _own(recipe))}
        old_artifact, old_note = (
            _on_old_data(recipe, old.data, now, models, workspace) if old.data else (None, old.note)
        )
        return {
            "name": name,
            "version": version.version,
            "digest": digest,
            "artifact": workspace.artifact("answers", [data.artifact.digest]) if fair else None,
            "note": note,
            "old_artifact": old_artifact,
            "old_note": old_note,
        }

    return run_stage(
        context,
        STAGE,
        ChampionAnswers,
        body,
        settings={
            "model.max_length": recipe.model.max_length,
            "data.lowercase": recipe.data.lowercase,
            "data.strip_punctuation": recipe.data.strip_punctuation,
            "evaluate.batch_size": recipe.evaluate.batch_size,
            "evaluate.threads": recipe.evaluate.threads,
            "export.providers": recipe.export.providers,
            "version": version.version,
        },
        inputs={
            "data": data.artifact.digest,
            "champion": digest or version.source,
            "old data": old.data.artifact.digest if old.data else old.note,
            "what it learned from": learned.data.artifact.digest if learned.data else learned.note,
            # On new data the evaluation asks the new model.
            "candidate": candidate.digest if old.data else "",
        },
        libraries=("onnxruntime", "onnxruntime-gpu", "tokenizers", "transformers"),
        draws=False,
    )


def _fair(rows: "Rows", learned: lineage.OldData) -> tuple[list[int], str]:
    """Places of the rows that the champion was neither trained nor selected on, and how many that leaves out.

    Args:
        learned: what it learned from; neither data nor note where that is this run's own training split.
    """
    from hone.tasks.model.text import exclude_training_rows, read_split

    if learned.data is None:
        return list(
            range(len(rows))
        ), f"it may have learned from some of these rows: {learned.note}" if learned.note else ""
    folder = store.open_artifact(learned.data.artifact)
    fair = exclude_training_rows(rows, [read_split(folder, split) for split in ("train", "validation")])
    left_out = f"{len(rows) - len(fair):,} of {len(rows):,} test rows left out, as the champion has learned from them"
    return fair, left_out if len(fair) < len(rows) else ""


def _on_old_data(
    recipe: Recipe,
    old: PreparedData,
    now: Path,
    models: dict[str, tuple[Path, dict[str, Any]]],
    workspace: StageWorkspace,
) -> tuple[Artifact | None, str]:
    """What the models, by name, answer on the test split of `old`, and how many of its rows were left out.

    Args:
        now: this run's data.
        models: the folder of each and how it is served.
    """
    from hone.tasks.model.text import exclude_training_rows, read_split
    from hone.tasks.objectives.judging import judging

    test = read_split(store.open_artifact(old.artifact), "test")
    kept = exclude_training_rows(test, [read_split(now, split) for split in ("train", "validation")])
    if not kept:
        return None, f"the new model has learned from all {len(test):,} rows of the champion's own test split"
    rows, folder = test.pick(kept), workspace.folder / "old"
    answered = {name: _ask(recipe, model, rows, old.labels, served) for name, (model, served) in models.items()}
    objective = judging(recipe.objective)
    targets = objective.with_reference(objective.targets(rows), answered["candidate"])
    evidence.save(folder, targets, answered, {})
    left_out = len(test) - len(kept)
    note = f"{left_out:,} of {len(test):,} rows left out, as the new model has learned from them" if left_out else ""
    return workspace.artifact("old", [old.artifact.digest]), note


def _own(recipe: Recipe) -> dict[str, Any]:
    """How a model of this recipe reads text."""
    return {
        "task": recipe.objective,
        "max_length": recipe.model.max_length,
        "lowercase": recipe.data.lowercase,
        "strip_punctuation": recipe.data.strip_punctuation,
    }


def _ask(recipe: Recipe, folder: Path, rows: "Rows", labels: list[str], served: dict[str, Any]) -> "Answers":
    from hone.tasks.champion.answers import answer
    from hone.tasks.objectives.judging import judging

    return answer(
        folder,
        rows,
        labels,
        judging(recipe.objective),
        served=served,
        batch_size=recipe.evaluate.batch_size,
        providers=recipe.export.providers,
        threads=recipe.evaluate.threads,
    )
