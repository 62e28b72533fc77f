"""The student before its first step: some of the teacher's layers, or another encoder."""

import copy
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.configs.model import DistillSettings, ModelSettings
from hone.configs.recipe import Objective
from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.layers import model_layers, set_layers
from hone.tasks.model.checkpoints.checkpoint import load_model, load_pretrained, load_tokenizer, save_model
from hone.tasks.model.text import read_split, token_names
from hone.tasks.objectives.learning import learning

PROBE_ROWS = 2000  # training texts on which two tokenizers are compared before anything long starts


def write_student(
    teacher: Path,
    data: Path,
    destination: Path,
    *,
    settings: DistillSettings,
    model: ModelSettings,
    labels: list[str],
    seed: int,
    task: Objective,
    other: Path | None = None,
) -> list[int]:
    """Saves the student that the settings ask for, before its first step.

    Args:
        teacher: folder of the teacher's checkpoint.
        data: folder of the prepared data.
        labels: label names by id.
        seed: of a new head (distill.student).
        other: folder of the encoder that distill.student names; None where it names none.

    Returns:
        For each layer of the student, the teacher's layer it is matched with, counted from 0.

    Raises:
        ModelError: when the teacher does not have the layers, or the other encoder does not fit the task or the loss.
    """
    whole, tokenizer = load_model(teacher), load_tokenizer(teacher)
    if other is None:
        layers = layers_kept(settings, whole.config.num_hidden_layers)
        save_model(student_from_layers(whole, layers), tokenizer, destination)
        return layers
    student, own_tokenizer = other_student(other, model, labels, seed, task)
    check_tokens(settings, tokenizer, own_tokenizer, read_split(data, "train").texts, task)
    save_model(student, own_tokenizer, destination)
    return spread_layers(student.config.num_hidden_layers, whole.config.num_hidden_layers)


def student_from_layers(teacher: PreTrainedModel, layers: list[int]) -> PreTrainedModel:
    """A copy of the teacher with only these layers, counted from 0; embeddings and head are the teacher's.

    Raises:
        ModelError: when a layer is named that the teacher does not have, or they are not in rising order.

    Source: Sanh et al. 2019 (DistilBERT), arXiv:1910.01108, section 3.
    """
    check_layers(layers, teacher.config.num_hidden_layers)
    student = copy.deepcopy(teacher)
    kept = model_layers(student)
    set_layers(student, [kept[layer] for layer in layers])
    return student


def layers_kept(settings: DistillSettings, count: int) -> list[int]:
    """The layers of a teacher of `count` layers that the student keeps, counted from 0: those that are named, or
    `layer_count` of them, or half of them, spread over its depth.

    Raises:
        ModelError: when the teacher does not have them.
    """
    if settings.layers:
        check_layers(settings.layers, count)
        return list(settings.layers)
    if settings.layer_count > count:
        raise ModelError(
            f"distill.layer_count is {settings.layer_count}, and the teacher has {count} layers: ask for {count} or "
            "fewer, or for 0, which means half of them"
        )
    return spread_layers(settings.layer_count or max(1, count // 2), count)


def check_layers(layers: list[int], count: int) -> None:
    """Refuses layers that the teacher does not have.

    Raises:
        ModelError: when the layers cannot be taken from a teacher of `count` layers.
    """
    absent = [layer for layer in layers if not 0 <= layer < count]
    if absent:
        raise ModelError(
            f"distill.layers is {layers} and names {absent}: the teacher has {count} layers, counted from 0: "
            f"name some of 0 to {count - 1}, e.g. --set 'distill.layers={spread_layers(max(1, count // 2), count)}'"
        )
    if not layers or layers != sorted(set(layers)):
        raise ModelError(
            f"distill.layers is {layers}: name at least one layer, each once, in rising order, "
            f"e.g. --set 'distill.layers={spread_layers(max(1, count // 2), count)}'"
        )


def spread_layers(student_count: int, teacher_count: int) -> list[int]:
    """For each layer of a student the teacher's layer at the same relative depth, the last matched with the last.

    Source: Jiao et al. 2020 (TinyBERT), arXiv:1909.10351, section 3, the uniform mapping.
    """
    return [max(0, round((index + 1) * teacher_count / student_count) - 1) for index in range(student_count)]


def other_student(
    folder: Path, model: ModelSettings, labels: list[str], seed: int, task: Objective
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The encoder in a folder, with a new head for the task.

    Raises:
        ModelError: when it cannot be loaded, or does not take texts of model.max_length tokens.
    """
    source = ModelSettings(source=str(folder), max_length=model.max_length)
    return load_pretrained(source, labels, seed, task)


def check_tokens(
    settings: DistillSettings,
    teacher: PreTrainedTokenizerFast,
    student: PreTrainedTokenizerFast,
    texts: list[str],
    task: Objective,
) -> None:
    """Refuses a student whose tokens are not the teacher's, where tokens are compared.

    Raises:
        ModelError: when answers, hidden states or relations are to be matched token by token, and the two tokenizers
            cut some of the texts into different tokens.
    """
    by_token = learning(task).by_token
    if not (settings.hidden_weight or settings.relation_weight or by_token):
        return
    texts = texts[:PROBE_ROWS]
    own, theirs = (
        [token_names(tokenizer, ids) for ids in tokenizer(texts)["input_ids"]] for tokenizer in (student, teacher)
    )
    differing = sum(one != other for one, other in zip(own, theirs, strict=True))
    if differing and by_token:
        raise ModelError(
            f"distill.student is '{settings.student}', which cuts {differing} of {len(texts)} texts into other tokens "
            f"than the teacher does, while task is '{task}', which is learned token by token: take a student with the "
            "teacher's tokenizer"
        )
    if differing:
        raise ModelError(
            f"distill.student is '{settings.student}', which cuts {differing} of {len(texts)} texts into other tokens "
            f"than the teacher does, while distill.hidden_weight is {settings.hidden_weight:g} and "
            f"distill.relation_weight is {settings.relation_weight:g}: those match the two token by token. Set both to "
            "0, which leaves the teacher's predictions, or take a student with the teacher's tokenizer"
        )
