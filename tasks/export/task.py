"""Stage: every model of the chain as ONNX, with its tokenizer."""

from typing import Any

from prefect import task

from hone.configs.recipe import Recipe
from hone.tasks import store
from hone.tasks.contracts import (
    Checkpoint,
    DistilledModel,
    ExportedModels,
    OnnxModel,
    PrunedModel,
    QuantizedModel,
    TrainedModel,
)
from hone.tasks.stage import RunContext, StageWorkspace, run_stage

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "onnx",
    "onnxscript",
    "onnxruntime-gpu",
    "onnxruntime",
    "onnxruntime-genai",
)
"""That decide what is exported."""


@task(name="export")
def export_models(
    context: RunContext,
    teacher: TrainedModel,
    distilled: DistilledModel,
    pruned: PrunedModel,
    quantized: QuantizedModel,
) -> ExportedModels:
    """Exports each distinct model of the chain, in its order: what a skipped stage passed on is there already, and what
    the recipe's run before this one exported is taken over."""
    recipe, settings = context.recipe, context.recipe.export
    texts = text_settings(recipe)
    chain = distinct(
        {
            ("teacher", "train"): teacher.checkpoint,
            ("distilled", "distill"): distilled.checkpoint,
            ("pruned", "prune"): pruned.checkpoint,
            ("quantized", "quantize"): quantized.checkpoint,
        }
    )

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        from hone.tasks.export.export import export_checkpoint
        from hone.tasks.model.runtime.runtime import TextSettings

        previous = workspace.previous()
        exported = (
            {model.source.digest: model for model in previous.models} if isinstance(previous, ExportedModels) else {}
        )
        models = []
        for done, ((name, stage), checkpoint) in enumerate(chain.items()):
            same = exported.get(checkpoint.artifact.digest)
            if same is not None:
                store.copy_folder(store.open_artifact(same.artifact), workspace.folder / name)
                artifact = workspace.artifact(name, [checkpoint.artifact.digest])
                models.append(
                    same.model_copy(
                        update={"name": name, "stage": stage, "artifact": artifact, "source": checkpoint.artifact}
                    )
                )
                continue
            workspace.advanced(done, len(chain), f"exporting {name}")
            made = export_checkpoint(
                name,
                store.open_artifact(checkpoint.artifact),
                workspace.folder / name,
                opset=settings.opset,
                for_cpu=settings.providers[0] == "cpu",
                texts=TextSettings(**texts),
            )
            models.append(
                OnnxModel(
                    name=name,
                    stage=stage,
                    artifact=workspace.artifact(name, [checkpoint.artifact.digest]),
                    precision=made.precision,
                    parameters=made.parameters,
                    graph_bytes=made.graph_bytes,
                    source=checkpoint.artifact,
                )
            )
        return {"models": models}

    return run_stage(
        context,
        "export",
        ExportedModels,
        body,
        settings={
            "export.opset": settings.opset,
            "export.first_provider_is_cpu": settings.providers[0] == "cpu",
            "texts": texts,
        },
        inputs={name: checkpoint.artifact.digest for (name, _stage), checkpoint in chain.items()},
        libraries=LIBRARIES,
        draws=False,
    )


def text_settings(recipe: Recipe) -> dict[str, Any]:
    """What becomes of a text before the model sees it, as the fields of `runtime.TextSettings`."""
    data = recipe.data
    return {
        "task": recipe.objective,
        "max_length": recipe.model.max_length,
        "pairs": bool(data.second_column),
        "lowercase": data.lowercase,
        "strip_punctuation": data.strip_punctuation,
        "text_column": data.input_column,
        "pair_column": data.second_column,
    }


def distinct(chain: dict[tuple[str, str], Checkpoint]) -> dict[tuple[str, str], Checkpoint]:
    """The chain without those that only passed on what came in."""
    result: dict[tuple[str, str], Checkpoint] = {}
    for key, checkpoint in chain.items():
        if checkpoint.artifact.digest not in {earlier.artifact.digest for earlier in result.values()}:
            result[key] = checkpoint
    return result
