"""Hone for a notebook or a script: load a recipe, run it, load a model, predict.

    import hone

    recipe = hone.load_recipe("recipe.yaml", ["train.epochs=2"])
    run = hone.run(recipe)                            # as `hone optimize`, in a process of its own
    print(run.verdict, run.report["selected"], run.folder)

    model = hone.load_model("tickets@champion")       # or "tickets/3", run.folder, or the folder of a model
    model.predict(["where is my parcel?"])            # [{"label": ..., "score": ..., "probabilities": {...}}]

A model of a recipe with `task: token-classification` answers each text, or list of words, with its entities:
`[{"start": 0, "end": 3, "text": "Ann", "type": "person", "score": ...}]`. One with `task: question-answering` takes
questions and their contexts, `model.predict(["who sat?"], ["Ann sat in Rome."])`, and gives an answer to each:
`{"answer": "Ann", "start": 0, "end": 3, "score": ...}`. One with `task: text-generation` continues prompts:
`{"text": " sat in Rome.", "tokens": [...], "scores": [...], "finished": True}`.

Importing this loads nothing: each name is looked up when it is used. `load_model` loads onnxruntime and tokenizers, and
MLflow where it asks a registry; no call loads torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hone.configs.recipe import Recipe, RecipeError, load_recipe
    from hone.models import Model, load_model
    from hone.runs import Run, run
    from hone.tasks.errors import HoneError

__all__ = ["HoneError", "Model", "Recipe", "RecipeError", "Run", "load_model", "load_recipe", "run"]
PLACES = {
    "HoneError": "hone.tasks.errors",
    "Model": "hone.models",
    "Recipe": "hone.configs.recipe",
    "RecipeError": "hone.configs.recipe",
    "Run": "hone.runs",
    "load_model": "hone.models",
    "load_recipe": "hone.configs.recipe",
    "run": "hone.runs",
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module 'hone' has no attribute '{name}'; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
