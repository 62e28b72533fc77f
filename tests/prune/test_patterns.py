"""Of every M weights in a row, N are left: while the student recovers, and in the file that ships."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from hone.configs.model import DistillSettings, PruneSettings
from hone.tasks.errors import ModelError
from hone.tasks.export.graph import export_onnx, initializers
from hone.tasks.export.graph_passes import optimize_graph
from hone.tasks.export.integer import quantize_graph
from hone.tasks.model.architectures.layers import model_layers, set_layers
from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.text import make_batch
from hone.tasks.model.training.distillation import distillation_arguments
from hone.tasks.model.training.fake_quantization import plan_for, snap_to_grid
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.prune.magnitude import Magnitude
from hone.tasks.prune.masks import sparsity_of
from hone.tasks.prune.patterns import check_widths, groups_kept, largest_of_groups, numbers_of, share_of_groups_kept
from hone.tasks.prune.prune_model import prune_model
from hone.tasks.prune.recovery import make_trainable
from tests.model.teaching_fixtures import ask_teacher, write_data, write_teacher
from tests.prune.encoders import tiny
from tests.tiny import write_encoder

LOSS = DistillSettings()


def test_two_of_four_by_hand():
    linear = nn.Linear(8, 8, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, -4, 3, -2, 5, 5, 5, 5]] * 8))
        linear.weight *= largest_of_groups(linear.weight.abs(), 2, 4)
    assert linear.weight.tolist() == [[0, -4, 3, 0, 5, 5, 0, 0]] * 8  # of equals the first
    assert groups_kept(linear.weight, 2, 4) == (16, 16)
    assert groups_kept(linear.weight, 1, 4) == (0, 16)


def test_four_of_eight_may_lie_where_two_of_four_may_not():
    weight = torch.tensor([[4.0, 3, 2, 1, 0, 0, 0, 0], [1, 0, 1, 0, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0]])
    assert groups_kept(weight, 4, 8) == (2, 3)
    assert groups_kept(weight, 2, 4) == (4, 6)
    assert largest_of_groups(weight[:1], 4, 8).tolist() == [[True] * 4 + [False] * 4]


def test_inputs_that_fill_no_group_are_not_counted():
    assert groups_kept(torch.ones(3, 7), 4, 4) == (3, 3)


def test_every_layer_whose_width_is_no_multiple_is_named():
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 10), nn.Linear(10, 2))
    check_widths(model, "unstructured")
    with pytest.raises(ModelError, match=r"'2:4'.* multiple of 4 inputs: 0 \(6 inputs\), 2 \(10 inputs\): set"):
        check_widths(model, "2:4")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("patterns")
    write_teacher(folder / "teacher", layers=1)
    write_data(folder / "data")
    return folder


@pytest.mark.parametrize(("method", "pattern"), [("magnitude", "4:8"), ("wanda", "2:4")])
def test_the_mask_is_held_while_the_student_recovers(place: Path, method: str, pattern: str) -> None:
    outputs = ask_teacher(place / "storage", place / "teacher", place / "data", LOSS, [0])
    settings, folder = PruneSettings(method=method, pattern=pattern), place / method
    prune_model(
        place / "teacher", folder, outputs=outputs, settings=settings, loss=LOSS, student_layers=[0], max_length=32,
        seed=0, on_progress=lambda done, total, note: None, task="text-classification",
    )  # fmt: skip
    arguments = distillation_arguments(
        student=folder, data=place / "data", teacher_outputs=outputs, loss=LOSS, max_length=32, student_layers=[0]
    )
    trainable = make_trainable(
        TrainingJob(make_trainable, settings, 0, place, arguments, task="text-classification"), torch.device("cpu")
    )
    optimizer = torch.optim.AdamW(trainable.module.parameters(), lr=1e-2)
    batch = make_batch(trainable.train, np.arange(8), trainable.tokenizer.pad_token_id, "cpu")
    for step in range(3):
        trainable.before_step(step, 3)
        optimizer.zero_grad()
        trainable.module(batch)["loss"].backward()
        optimizer.step()
        assert share_of_groups_kept(trainable.student, *numbers_of(pattern)) < 1  # the step itself knows no mask
        trainable.after_step()
        assert trainable.settled(step + 1, 3)
    trainable.save(place / f"{method}-recovered")
    before, after = load_model(folder), load_model(place / f"{method}-recovered")
    assert not torch.equal(before.classifier.weight, after.classifier.weight)
    assert all(
        torch.equal(before.get_submodule(name).weight == 0, after.get_submodule(name).weight == 0)
        for name in linear_names(before)
    )
    assert sparsity_of(after) == 0.5
    assert trainable.modifier.finish(after) == {"pattern": pattern, "groups_that_keep_the_pattern": 1.0}


def test_the_exported_weights_keep_the_pattern_in_fp32_and_in_eight_bits(tmp_path: Path) -> None:
    dense, tokenizer = tiny("bert"), load_tokenizer(write_encoder(tmp_path / "encoder"))
    set_layers(dense, list(model_layers(dense))[:1])
    model = copy.deepcopy(dense)
    Magnitude(PruneSettings(method="magnitude", pattern="2:4")).prepare(model, None)
    graph = export_onnx(model, tokenizer, opset=18)
    plan = plan_for(model, "dynamic", tables=True)
    optimize_graph(graph, only=plan.first_token, for_cpu=True)

    def counted(suffix: str) -> tuple[int, int]:
        stored = initializers(graph)
        found = [
            groups_kept(torch.from_numpy(numpy_helper.to_array(stored[f"{name}.{suffix}"]).T.copy()), 2, 4)
            for name in linear_names(model)
        ]
        return sum(kept for kept, _groups in found), sum(groups for _kept, groups in found)

    groups = sum(model.get_submodule(name).weight.numel() for name in linear_names(model)) // 4
    assert share_of_groups_kept(dense, 2, 4) < 0.01
    assert counted("weight") == (groups, groups)
    quantize_graph(graph, snap_to_grid(copy.deepcopy(model), plan), plan)
    assert counted("weight_int8") == (groups, groups)
