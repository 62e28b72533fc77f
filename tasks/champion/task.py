"""Asks the registered champion about this run's test split, so that the gate can hold the new model against it."""

from typing import Any

from prefect import task

from tasks import evidence, store, tracking
from tasks.contracts import ChampionAnswers, ExportedModels, PreparedData
from tasks.stage import RunContext, Workshop, run_stage, skip_stage

STAGE = "champion"


@task(name=STAGE, retries=0)
def ask_champion(context: RunContext, data: PreparedData, exported: ExportedModels) -> ChampionAnswers:
    """The champion's answers. Skipped where none is registered, where the recipe does not compare with it, and where it
    is the very model that this run made."""
    recipe = context.recipe
    name = recipe.register_.model_name or recipe.name
    found = tracking.version_at(name, tracking.CHAMPION) if context.mlflow_run_id else None
    digest = found.tags.get("hone.model_digest", "") if found else ""
    if not recipe.gate.compare_champion:
        return ChampionAnswers(record=skip_stage(STAGE, "gate.compare_champion is false", ""))
    if found is None:
        return ChampionAnswers(record=skip_stage(STAGE, f"{name} has no champion yet", ""))
    if digest == exported.models[-1].artifact.digest:
        return ChampionAnswers(record=skip_stage(STAGE, f"version {found.version} is this very model", ""))
    version = found

    def body(workshop: Workshop) -> dict[str, Any]:
        from tasks.champion.answers import answer
        from tasks.model.text import read_split

        test = read_split(store.open_artifact(data.artifact), "test")
        folder = tracking.download(version, workshop.scratch / "champion")["model"]
        logits = answer(
            folder,
            test,
            data.labels,
            max_length=recipe.model.max_length,
            batch_size=recipe.evaluate.batch_size,
            providers=recipe.export.providers,
            threads=recipe.evaluate.threads,
        )
        evidence.save_logits(workshop.folder / "answers", {STAGE: logits})
        return {
            "name": name,
            "version": version.version,
            "digest": digest,
            "artifact": workshop.artifact("answers", [data.artifact.digest]),
        }

    return run_stage(
        context,
        STAGE,
        ChampionAnswers,
        body,
        settings={
            "model.max_length": recipe.model.max_length,
            "evaluate.batch_size": recipe.evaluate.batch_size,
            "evaluate.threads": recipe.evaluate.threads,
            "export.providers": recipe.export.providers,
            "version": version.version,
        },
        inputs={"data": data.artifact.digest, "champion": digest or version.source},
        code=("model", "evidence.py"),
        libraries=("onnxruntime", "onnxruntime-gpu", "tokenizers", "transformers"),
    )
