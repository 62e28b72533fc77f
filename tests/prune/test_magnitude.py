"""W' = W * 1(|W| >= tau)."""

import pytest
import torch
from torch import nn

from configs.model import DistillSettings, PruneSettings
from tasks.model.anatomy import linear_names
from tasks.model.checkpoint import load_model, load_tokenizer, save_model
from tasks.model.learner import TrainingJob
from tasks.model.teaching import lesson_arguments
from tasks.model.text import make_batch
from tasks.prune.magnitude import (
    make_masked_learner,
    sparsity_of,
    threshold,
    zero_below,
    zero_smallest,
    zeros_held,
)
from tests.model.teaching_fixtures import ask_teacher, write_data, write_teacher
from tests.prune.encoders import tiny


def two_layers():
    """Weights 1 .. 6 with signs, in two layers; a bias that is smaller than all of them."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, -4.0]]))
        model[1].weight.copy_(torch.tensor([[5.0, -6.0]]))
        for layer in model:
            layer.bias.fill_(0.1)
    return model


def test_magnitude_by_hand():
    model = two_layers()
    assert threshold(model, 0.5) == 4.0
    zero_below(model, 4.0)
    assert model[0].weight.tolist() == [[0, 0], [0, -4]]
    assert model[1].weight.tolist() == [[5, -6]]
    assert model[0].bias.tolist() == pytest.approx([0.1, 0.1])
    assert sparsity_of(model) == 0.5


def test_one_threshold_holds_for_all_layers():
    model = two_layers()
    zero_below(model, threshold(model, 0.67))
    assert [torch.count_nonzero(layer.weight).item() for layer in model] == [0, 2]


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_the_sparsity_counted_is_the_sparsity_wanted(sparsity):
    model = tiny("bert")
    total = sum(model.get_submodule(name).weight.numel() for name in linear_names(model))
    kept = zero_smallest(model, PruneSettings(method="magnitude", sparsity=sparsity), None)
    assert kept == [0, 1, 2]
    assert sparsity_of(model) == pytest.approx(int(sparsity * total) / total, abs=1e-12)


def test_no_kept_weight_is_smaller_than_a_removed_one():
    model, before = tiny("roberta"), tiny("roberta")
    zero_smallest(model, PruneSettings(method="magnitude", sparsity=0.7), None)
    kept, gone = [], []
    for name in linear_names(model):
        mask = model.get_submodule(name).weight != 0
        kept.append(before.get_submodule(name).weight[mask].abs())
        gone.append(before.get_submodule(name).weight[~mask].abs())
    assert torch.cat(kept).min() >= torch.cat(gone).max()


def test_zeroing_twice_is_zeroing_once():
    model = tiny("bert")
    tau = threshold(model, 0.5)
    zero_below(model, tau)
    once = {name: value.clone() for name, value in model.state_dict().items()}
    zero_below(model, tau)
    assert all(torch.equal(value, once[name]) for name, value in model.state_dict().items())


def test_equal_weights_stay_together():
    model = nn.Sequential(nn.Linear(4, 1))
    nn.init.constant_(model[0].weight, 2.0)
    zero_below(model, threshold(model, 0.5))
    assert sparsity_of(model) == 0


def test_held_zeros_stay_zero_through_training():
    model = tiny("bert")
    zero_smallest(model, PruneSettings(method="magnitude", sparsity=0.6), None)
    before = sparsity_of(model)
    hold = zeros_held(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.randint(2, 60, (8, 6))
    for _ in range(5):
        loss = nn.functional.cross_entropy(model(input_ids=ids).logits, torch.tensor([0, 1] * 4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hold()
        assert sparsity_of(model) == before
    optimizer.step()
    assert sparsity_of(model) < before  # without the mask they would not stay


def test_the_recovery_learner_holds_the_zeros_of_the_checkpoint_it_starts_from(tmp_path):
    torch.set_num_threads(1)
    loss = DistillSettings()
    teacher, data = write_teacher(tmp_path / "teacher"), write_data(tmp_path / "data")
    outputs = ask_teacher(tmp_path / "storage", teacher, data, loss, [0, 1, 2])
    student = load_model(teacher)
    zero_smallest(student, PruneSettings(method="magnitude", sparsity=0.5), None)
    save_model(student, load_tokenizer(teacher), tmp_path / "sparse")
    arguments = lesson_arguments(
        student=tmp_path / "sparse",
        data=data,
        teacher_outputs=outputs,
        loss=loss,
        max_length=32,
        student_layers=[0, 1, 2],
    )
    learner = make_masked_learner(TrainingJob(make_masked_learner, loss, 0, tmp_path, arguments), torch.device("cpu"))
    optimizer = torch.optim.AdamW(learner.module.parameters(), lr=1e-2)
    batch = make_batch(learner.train, torch.arange(8).numpy(), learner.tokenizer.pad_token_id, "cpu")
    for _ in range(3):
        optimizer.zero_grad()
        learner.module(batch)["loss"].backward()
        optimizer.step()
        learner.after_step()
    learner.save(tmp_path / "saved")
    assert sparsity_of(load_model(tmp_path / "saved")) == sparsity_of(student)
    assert sparsity_of(student) == pytest.approx(0.5, abs=1e-4)
