"""The train stage: from a pretrained encoder and labelled text to the teacher."""

from typing import Any

from prefect import task

from hone.tasks import cluster, store
from hone.tasks.contracts import PreparedData, TrainedModel
from hone.tasks.model.checkpoints.source import content_digest, copy_encoder, hub_commit, resolve_source
from hone.tasks.stage import RunContext, StageWorkspace, run_stage


@task(name="train")
def train_teacher(context: RunContext, data: PreparedData) -> TrainedModel:
    """Fine-tunes the recipe's encoder on the labels; the epoch that is best on validation becomes the teacher."""
    recipe = context.recipe
    encoder = resolve_source(recipe.model.source, recipe.model.revision)
    encoder_digest, commit = content_digest(encoder), hub_commit(encoder)
    # What the encoder is, and not what it is called or where it lies.
    model = recipe.model.model_dump(mode="json", exclude={"source", "revision"})

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        cluster.start(recipe.compute)
        # Imported while the workers start; a run that finds this stage finished needs none of it.
        from hone.tasks.model.checkpoints.checkpoint import load_task_tokenizer
        from hone.tasks.model.checkpoints.gguf import gguf_notes
        from hone.tasks.model.tokenized import Split
        from hone.tasks.model.training.recovery import hand_on, splits_of
        from hone.tasks.model.training.trainable import TrainingJob
        from hone.tasks.train.supervised import classification_arguments, make_trainable

        # No worker looks it up by its name: a hub's branch may have moved, and a package be another version.
        brought = copy_encoder(encoder, workspace.scratch / "encoder")
        folder, splits = store.open_artifact(data.artifact), splits_of(context, workspace)
        tokenizer = load_task_tokenizer(brought, recipe.objective)
        train_text, validation_text = (
            splits.folder(Split(folder / f"{split}.parquet", tokenizer, recipe.model.max_length, recipe.objective))
            for split in ("train", "validation")
        )
        job = TrainingJob(
            make_trainable=make_trainable,
            settings=recipe.train,
            seed=workspace.seed,
            workdir=workspace.scratch / "training",
            task=recipe.objective,
            arguments=classification_arguments(recipe.model, data.labels, folder, brought, train_text, validation_text),
        )
        result = cluster.train(job, recipe.compute, workspace.on_event)
        checkpoint = hand_on(
            context,
            workspace,
            result,
            who="the teacher",
            data=data,
            made_from=[data.artifact.digest, encoder_digest],
            notes=lambda _model: {**({"hub_commit": commit} if commit else {}), **gguf_notes(brought)},
        )
        return {"checkpoint": checkpoint}

    return run_stage(
        context,
        "train",
        TrainedModel,
        body,
        settings={
            "task": recipe.objective,
            "model": model,
            "train": recipe.train,
            "compute": cluster.shaping_settings(recipe.compute),
        },
        inputs={"data": data.artifact.digest, "encoder": encoder_digest},
        libraries=("torch", "transformers", "tokenizers"),
    )
