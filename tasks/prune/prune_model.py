"""The cut itself: trim the vocabulary, and have the method remove what weighs least."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.configs.model import DistillSettings, PruneSettings
from hone.configs.recipe import Objective
from hone.tasks.device import driver_device
from hone.tasks.model.architectures.layers import SUPPORTED, layer_modules
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer, save_model
from hone.tasks.model.teacher.inference import Progress
from hone.tasks.model.teacher.outputs import ROWS, TeacherOutputs
from hone.tasks.model.text import Batch, Rows, TokenizedText, make_batch, sequential_batches
from hone.tasks.model.tokenized import IN_MEMORY, Split, TokenizedSplits
from hone.tasks.model.training.distillation import DistillationModule
from hone.tasks.model.training.modifier import Calibration
from hone.tasks.model.training.optimizer import arithmetic
from hone.tasks.model.training.projections import of_layers, read_projections, write_projections
from hone.tasks.objectives.learning import learning
from hone.tasks.prune.masks import sparsity_of
from hone.tasks.prune.methods import METHODS
from hone.tasks.prune.vocabulary import trim_vocabulary

BATCH_SIZE = 32


def prune_model(
    student: Path,
    destination: Path,
    *,
    outputs: Path,
    settings: PruneSettings,
    loss: DistillSettings,
    student_layers: list[int],
    max_length: int,
    seed: int,
    on_progress: Progress,
    task: Objective,
    splits: TokenizedSplits = IN_MEMORY,
) -> list[int]:
    """Prunes the student in one folder and saves it in another.

    Args:
        outputs: folder that `teacher_outputs.prepare` returned.
        loss: the loss whose gradient says what matters. Hidden states have no part in it where they are compared
            through projections that nobody has trained.
        student_layers: for each layer of the student, the teacher's layer it is matched with.
        splits: where the tokenized rows are kept.

    Returns:
        The same for the layers that are left.

    Raises:
        ModelError: when the encoder's layers, or its tokenizer, is not of a known kind.
    """
    objective = learning(task)
    model, tokenizer = load_model(student), load_tokenizer(student)
    model.to(driver_device())  # type: ignore[arg-type]
    teacher, projections = TeacherOutputs(outputs), read_projections(student)

    def encode(by: PreTrainedTokenizerFast, _rows: Rows, length: int) -> TokenizedText:
        return splits.read(Split(outputs / ROWS, by, length, task))

    rows = teacher.rows()
    if settings.vocabulary == "seen":
        tokenizer = trim_vocabulary(model, tokenizer, rows, max_length, settings.vocabulary_extra, encode)
    text = encode(tokenizer, rows, max_length)
    chosen = draw_importance_rows(text.labelled, settings.importance_rows, seed)

    def batches() -> Iterator[Batch]:
        done = 0
        for indices in sequential_batches(text.lengths[chosen], BATCH_SIZE):
            yield make_batch(text, chosen[indices], tokenizer.pad_token_id, model.device)
            done += len(indices)
            on_progress(done, len(chosen), "measuring importance")

    def loss_of(cut_so_far: PreTrainedModel, kept: list[int]) -> Callable[[Batch], Tensor]:
        layers, trained = [student_layers[index] for index in kept], of_layers(projections, kept)
        distillation = DistillationModule(cut_so_far, teacher, loss, layers, seed, trained, objective=objective)
        if not distillation.trained:
            without = loss.model_copy(update={"hidden_weight": 0.0})
            distillation = DistillationModule(cut_so_far, teacher, without, layers, seed, objective=objective)
        distillation.to(model.device)

        def summed(batch: Batch) -> Tensor:
            with arithmetic(settings.precision, model.device):
                return distillation(batch)["loss"]

        return summed

    torch.manual_seed(seed)  # of a method that draws
    try:
        kept = METHODS[settings.method](settings).prepare(model, Calibration(batches, loss_of))
    finally:
        teacher.close()
    save_model(model.cpu(), tokenizer, destination)
    write_projections(of_layers(projections, kept), destination)
    return [student_layers[index] for index in kept]


def draw_importance_rows(labelled: npt.NDArray[np.bool_], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Places of `count` labelled rows drawn with the seed, perturbed copies left out; of fewer rows, all.

    Args:
        labelled: which rows are, [rows].
    """
    return np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(labelled))[:count])


def counted(model: PreTrainedModel) -> dict[str, Any]:
    """What is there: heads and neurons of each layer where the architecture shows its layers, share of zeros among the
    linear weights, tokens."""
    parts = layer_modules(model) if model.config.model_type in SUPPORTED else []
    return {
        "heads": [part.heads for part in parts],
        "neurons": [part.neurons for part in parts],
        "sparsity": sparsity_of(model),
        "vocabulary": model.get_input_embeddings().num_embeddings,
    }
