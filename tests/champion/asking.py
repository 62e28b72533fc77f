"""A registered champion that a run asks, without a registry."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from hone.configs.recipe import Recipe
from hone.tasks import lineage, tracking
from hone.tasks.champion.task import evaluate_champion
from hone.tasks.contracts import ChampionAnswers, ExportedModels, PreparedData
from hone.tasks.stage import RunContext


def ask(
    recipe: Recipe,
    data: PreparedData,
    models: ExportedModels,
    champion: Path,
    storage: Path,
    learned: lineage.OldData,
    monkeypatch: pytest.MonkeyPatch,
) -> ChampionAnswers:
    """What a run of the recipe hears from its champion, version 7, whose model lies in a folder.

    Args:
        learned: what the champion learned from.
    """
    name, tags = recipe.register_.model_name or recipe.name, {"hone.model_digest": "sha256:another"}
    version = tracking.Version(name, "7", "models:/m-1", "run", tags, ("champion",))
    monkeypatch.setattr(tracking, "version_at", lambda _name, _alias: version)
    monkeypatch.setattr(tracking, "download", lambda _found, _place: {"model": champion})
    monkeypatch.setattr(tracking, "stage_run", lambda _run, _stage: nullcontext(tracking.StageLog()))
    monkeypatch.setattr(lineage, "data_of_version", lambda _version: learned)
    context = RunContext(recipe=recipe, output=str(storage), storage=str(storage), mlflow_run_id="run")
    return evaluate_champion.fn(context, data, models)
