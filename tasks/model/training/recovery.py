"""What distil, prune and quantize have in common: the teacher's outputs, a student that recovers by them on the
cluster, and the checkpoint that is handed on. Train hands its own on in the same way."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hone.configs.section import TrainingSection
from hone.tasks import cluster, store
from hone.tasks.contracts import Artifact, Checkpoint, PreparedData
from hone.tasks.model.checkpoints.checkpoint import count_parameters, load_model, load_tokenizer
from hone.tasks.model.checkpoints.config_file import add_to_config
from hone.tasks.model.teacher import outputs as teacher_outputs
from hone.tasks.model.teacher.outputs import ROWS, mask_of
from hone.tasks.model.text import read_split
from hone.tasks.model.tokenized import Split, TokenizedSplits
from hone.tasks.model.training.distillation import distillation_arguments
from hone.tasks.model.training.trainable import (
    MakeTrainable,
    TrainingJob,
    TrainingResult,
    validation_fields,
    warnings_of,
)
from hone.tasks.objectives.learning import learning
from hone.tasks.stage import RunContext, StageWorkspace


def outputs_of(
    context: RunContext, workspace: StageWorkspace, *, teacher: Artifact, data: PreparedData, layers: list[int]
) -> Path:
    """The folder with what the teacher says about every training row, as `distill` asks for it; computed where it is
    not there yet.

    Args:
        teacher: its checkpoint.
        layers: teacher layers whose hidden states are matched, counted from 0.

    Raises:
        ModelError: when the teacher does not have those layers.
        PreflightError: when the disk has no room for its outputs.
    """
    recipe = context.recipe
    return teacher_outputs.prepare(
        Path(context.storage),
        teacher=teacher,
        data=data.artifact,
        loss=recipe.distill,
        layers=layers,
        max_length=recipe.model.max_length,
        seed=workspace.seed,
        owner=recipe.name,
        on_progress=workspace.advanced,
        task=recipe.objective,
    )


def splits_of(context: RunContext, workspace: StageWorkspace) -> TokenizedSplits:
    """Where a stage finds its splits tokenized, or has them so."""

    def tell(note: str) -> None:
        workspace.advanced(0, 1, note)

    return TokenizedSplits(Path(context.storage), context.recipe.name, workspace.stage, tell)


def recover(
    context: RunContext,
    workspace: StageWorkspace,
    *,
    make_trainable: MakeTrainable,
    settings: TrainingSection,
    student: Path,
    data: PreparedData,
    outputs: Path,
    layers: list[int],
    arguments: dict[str, Any] | None = None,
) -> TrainingResult:
    """Trains a student on the teacher's outputs, on the recipe's cluster; the best epoch is among those it started as.

    Args:
        make_trainable: a module-level function, for a job with `distillation.distillation_arguments`.
        settings: how long and how it trains; what it learns from is `distill`'s loss.
        student: folder of its checkpoint.
        outputs: folder that `outputs_of` returned.
        layers: for each layer of the student, the teacher's layer it is matched with, counted from 0.
        arguments: what `make_trainable` needs beside these.
    """
    recipe, splits, tokenizer = context.recipe, splits_of(context, workspace), load_tokenizer(student)
    folder, length = store.open_artifact(data.artifact), recipe.model.max_length
    distillation = distillation_arguments(
        student=student,
        data=folder,
        teacher_outputs=outputs,
        loss=recipe.distill,
        max_length=length,
        student_layers=layers,
        train_text=splits.folder(Split(outputs / ROWS, tokenizer, length, recipe.objective, mask_of(outputs))),
        validation_text=splits.folder(Split(folder / "validation.parquet", tokenizer, length, recipe.objective)),
    )
    job = TrainingJob(
        make_trainable=make_trainable,
        settings=settings,
        seed=workspace.seed,
        workdir=workspace.scratch / "training",
        arguments=distillation | (arguments or {}),
        task=recipe.objective,
    )
    return cluster.train(job, recipe.compute, workspace.on_event)


def hand_on(
    context: RunContext,
    workspace: StageWorkspace,
    result: TrainingResult,
    *,
    who: str,
    data: PreparedData,
    made_from: list[str],
    notes: Callable[[PreTrainedModel], dict[str, Any]],
    as_it_answers: Callable[[PreTrainedModel, Path], PreTrainedModel] = lambda model, _folder: model,
) -> Checkpoint:
    """The best of a training as the stage's checkpoint, copied into its folder and counted, with what its task chooses
    on validation in its config.

    Args:
        who: what its warnings call it: "the student".
        made_from: digests of what it was made from.
        notes: what the stage says of the model that was saved.
        as_it_answers: the model of a checkpoint's folder with what it is exported with, such as its roundings.
    """
    task = context.recipe.objective
    folder = workspace.folder / "checkpoint"
    store.copy_folder(result.best, folder)
    validation = partial(read_split, store.open_artifact(data.artifact), "validation")

    def finished() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return as_it_answers(load_model(folder), folder), load_tokenizer(folder)

    add_to_config(folder, learning(task).config_measured(finished, validation, context.recipe.model.max_length))
    model = load_model(folder)
    parameters, nonzero = count_parameters(model)
    return Checkpoint(
        artifact=workspace.artifact("checkpoint", made_from),
        parameters=parameters,
        nonzero_parameters=nonzero,
        **validation_fields(task, result.validation),
        curves=result.curves,
        notes=notes(model),
        warnings=warnings_of(who, task, result.sums, data.labels),
    )
