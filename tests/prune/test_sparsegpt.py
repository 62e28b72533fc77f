"""Weights that go, and what the others do about it: by the surgeon's formula, and by what the layer's output loses."""

import copy

import numpy as np
import pytest
import torch

from hone.configs.model import PruneSettings
from hone.tasks.errors import ModelError, TrainingError
from hone.tasks.model.architectures.linears import inner_linears
from hone.tasks.model.training.modifier import Calibration
from hone.tasks.prune.inputs import input_products
from hone.tasks.prune.masks import sparsity_of
from hone.tasks.prune.patterns import largest_of_groups, share_of_groups_kept
from hone.tasks.prune.sparsegpt import DAMPING, SparseGPT, sparsified
from hone.tasks.prune.wanda import largest_of_rows, scores
from tests.prune.encoders import BATCH, tiny
from tests.prune.test_wanda import ONE, OTHER, PAD, Lookup, rows

ONE_BATCH = Calibration(lambda: iter([BATCH]), None)


def damped(hessian: np.ndarray) -> np.ndarray:
    return hessian + DAMPING * hessian.diagonal().mean() * np.eye(len(hessian))


def correlated(rows: int = 400, width: int = 32, seed: int = 0) -> torch.Tensor:
    """Inputs [rows, width] of which a few directions make most."""
    draw = torch.Generator().manual_seed(seed)
    few = torch.randn(rows, 6, generator=draw) @ torch.randn(6, width, generator=draw)
    return (few + 0.3 * torch.randn(rows, width, generator=draw)).double()


def test_one_weight_that_goes_is_made_up_for_as_the_surgeon_does() -> None:
    """The least squares answer with the first weight zero, and the formula that gives it."""
    hessian = np.array([[4.0, 2.0, 1.0], [2.0, 3.0, 1.0], [1.0, 1.0, 2.0]])
    weight = np.array([[0.1, 5.0, -7.0]])
    found = sparsified(torch.from_numpy(weight), torch.from_numpy(hessian), sparsity=1 / 3).numpy()
    full = damped(hessian)
    best = np.linalg.solve(full[1:, 1:], full[1:] @ weight[0])
    assert found[0] == pytest.approx([0, *best])
    inverse = np.linalg.inv(full)
    assert found[0] == pytest.approx(weight[0] - weight[0, 0] / inverse[0, 0] * inverse[0])


@pytest.mark.parametrize("columns", [4, 8, 128])
def test_a_row_moves_as_when_each_step_inverts_what_is_still_free(columns: int) -> None:
    """Algorithm 1 with an inverse of its own at every step, which is what the Cholesky factor spares."""
    inputs = correlated(60, 12, seed=3).numpy()
    hessian = inputs.T @ inputs
    weight = np.random.default_rng(0).normal(size=(5, 12))
    found = sparsified(torch.from_numpy(weight), torch.from_numpy(hessian), 0, (2, 4), columns).numpy()
    expected, full = weight.copy(), damped(hessian)
    for column in range(12):
        inverses = [np.linalg.inv(full[first:, first:]) for first in range(12)]
        if column % 4 == 0:
            costs = np.stack([expected[:, c] ** 2 / inverses[c][0, 0] for c in range(column, column + 4)], axis=1)
            gone = np.argsort(costs, axis=1)[:, :2] + column
        for row in range(5):
            if column in gone[row]:
                inverse = inverses[column]
                expected[row, column:] -= expected[row, column] / inverse[0, 0] * inverse[0]
                expected[row, column] = 0
    assert found == pytest.approx(expected, abs=1e-9)
    assert ((found.reshape(5, 3, 4) != 0).sum(axis=-1) == 2).all()


@pytest.mark.parametrize("numbers", [None, (2, 4)])
def test_outputs_lose_less_than_by_wanda_or_by_magnitude_where_inputs_are_correlated(numbers) -> None:
    inputs = correlated()
    weight = torch.randn(24, 32, generator=torch.Generator().manual_seed(1)).double()
    outputs = inputs @ weight.T

    def lost(pruned: torch.Tensor) -> float:
        return float((inputs @ pruned.T - outputs).square().sum())

    def stays(found: torch.Tensor) -> torch.Tensor:
        return largest_of_rows(found, 0.5) if numbers is None else largest_of_groups(found, *numbers)

    by_magnitude = lost(weight * stays(weight.abs()))
    by_wanda = lost(weight * stays(scores(weight, inputs.norm(dim=0))))
    ours = lost(sparsified(weight, inputs.T @ inputs, 0.5, numbers))
    assert ours < 0.5 * min(by_wanda, by_magnitude)


def test_weights_go_where_inputs_are_silent_first() -> None:
    inputs = correlated(width=8)
    inputs[:, [2, 5]] = 0
    weight = torch.full((3, 8), 2.0).double()
    found = sparsified(weight, inputs.T @ inputs, sparsity=0.25)
    assert (found[:, [2, 5]] == 0).all()
    assert torch.equal(found != 0, (torch.arange(8) != 2) & (torch.arange(8) != 5) & torch.ones(3, 8, dtype=torch.bool))
    assert torch.equal(found[:, [0, 1, 3, 4, 6, 7]], weight[:, :6])


def test_products_by_hand_count_every_token_and_no_padding() -> None:
    model = Lookup([[9.0, 9], [1, 2], [3, 0]], first=[[1.0, 1]])
    found = input_products(model, ["layer.0.dense"], rows([ONE, OTHER], [ONE, PAD]))
    assert found["layer.0.dense"].tolist() == [[1 + 9 + 1, 2 + 0 + 2], [4, 4 + 0 + 4]]


@pytest.mark.parametrize("pattern", ["unstructured", "4:8"])
@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_encoders_lose_their_share_in_every_layer(kind: str, pattern: str) -> None:
    model = tiny(kind)
    SparseGPT(PruneSettings(method="sparsegpt", pattern=pattern)).prepare(model, ONE_BATCH)
    assert sparsity_of(model) == pytest.approx(0.5, abs=0.01)
    assert pattern == "unstructured" or share_of_groups_kept(model, 4, 8) == 1
    for name in inner_linears(model):
        weight = model.get_submodule(name).weight
        assert (weight == 0).sum() == pytest.approx(weight.numel() // 2, abs=1)


def test_a_width_that_is_no_multiple_is_refused_before_anything_moves() -> None:
    model = Lookup([[0.0] * 6, [1.0] * 6], first=[[1.0] * 6] * 8)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ModelError, match=r"layer\.0\.dense \(6 inputs\): set prune\.pattern=unstructured"):
        SparseGPT(PruneSettings(method="sparsegpt", pattern="2:4")).prepare(model, None)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_input_that_is_not_finite_is_an_error_that_names_its_layer() -> None:
    model = Lookup([[0.0, 0], [float("inf"), 1]], first=[[1.0, 1]])
    with pytest.raises(TrainingError, match=r"layer\.0\.dense: what these layers read is not finite"):
        SparseGPT(PruneSettings(method="sparsegpt")).prepare(model, Calibration(lambda: iter(rows([ONE])), None))
