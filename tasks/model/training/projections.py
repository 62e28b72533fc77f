"""The linear maps from a student's width to its teacher's, through which hidden states of two widths are compared.

They are trained with the student in distil and no part of it: they lie in a folder of its checkpoint that nothing but
the later stages that learn from the teacher reads. A comparison through weights that nobody has trained says nothing of
the student.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from hone.tasks.model.teacher.outputs import TeacherOutputs

FILE = "projections/weights.safetensors"
"""In the folder of a checkpoint."""
Weights = dict[str, Tensor]
"""`<layer of the student>.weight` [teacher's width, student's width] and `<layer of the student>.bias`."""


def new_projections(
    student: PreTrainedModel, teacher: TeacherOutputs, teacher_layers: list[int], seed: int
) -> nn.ModuleDict:
    """One for each layer of the student whose width is not its teacher layer's, drawn with the seed alone."""
    width, made = student.config.hidden_size, nn.ModuleDict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for index, layer in enumerate(teacher_layers):
            teacher_width = teacher.width(f"hidden-{layer}.npy")
            if teacher_width != width:
                made[str(index)] = nn.Linear(width, teacher_width)
    return made


def write_projections(weights: Weights, checkpoint: Path) -> None:
    """Puts them beside the student in the folder of its checkpoint; of none, nothing."""
    if weights:
        (checkpoint / FILE).parent.mkdir(exist_ok=True)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, checkpoint / FILE)


def read_projections(checkpoint: Path) -> Weights:
    """Those that were trained with the student in a checkpoint; {} where there are none, or the file is not whole."""
    try:
        return load_file(checkpoint / FILE)
    except (OSError, SafetensorError):
        return {}


def of_layers(weights: Weights, kept: list[int]) -> Weights:
    """Those of a student of which only these layers are left, counted from 0."""
    places = {str(old): str(new) for new, old in enumerate(kept)}
    split = {name: name.split(".", 1) for name in weights}
    return {f"{places[place]}.{part}": weights[name] for name, (place, part) in split.items() if place in places}


def fit(weights: Weights, projections: nn.ModuleDict) -> bool:
    """Whether they are the weights of these projections."""
    shapes = {name: tensor.shape for name, tensor in projections.state_dict().items()}
    return bool(weights) and shapes == {name: tensor.shape for name, tensor in weights.items()}
