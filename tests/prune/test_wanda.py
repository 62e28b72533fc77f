"""S_ij = |W_ij| * ||X_j||_2, compared in each output."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hone.configs.model import PruneSettings
from hone.tasks.errors import ModelError, TrainingError
from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.training.modifier import Calibration
from hone.tasks.prune.inputs import blocks, input_norms
from hone.tasks.prune.masks import sparsity_of
from hone.tasks.prune.patterns import share_of_groups_kept
from hone.tasks.prune.wanda import Wanda, scores
from tests.prune.encoders import BATCH, FAMILIES, tiny

PAD, ONE, OTHER = 0, 1, 2


class Lookup(nn.Module):
    """Tokens are vectors that are read off a table, and layers follow one another."""

    def __init__(self, table: list[list[float]], **layers: list[list[float]]) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_hidden_layers=len(layers))
        self.table = torch.tensor(table)
        self.layer = nn.ModuleList()
        for weight in layers.values():
            dense = nn.Linear(len(weight[0]), len(weight), bias=False)
            dense.weight = nn.Parameter(torch.tensor(weight))
            self.layer.append(nn.ModuleDict({"dense": dense}))

    def forward(self, input_ids, attention_mask):
        values = self.table[input_ids]
        for layer in self.layer:
            values = layer["dense"](values)
        return values


def weights(model):
    return [layer["dense"].weight.tolist() for layer in model.layer]


def rows(*ids):
    """One batch, padded."""
    ids = torch.tensor(ids)
    return [{"input_ids": ids, "attention_mask": (ids != PAD).long()}]


def prune(model, batches, **settings):
    wanda = Wanda(PruneSettings(method="wanda", **settings))
    return wanda.prepare(model, Calibration(lambda: iter(batches), None))


TABLE = [[1000.0] * 8, [3.0, 1, 0, 1, 2, 0, 0, 1], [4.0, 0, 1, 0, 0, 2, 0, 0]]
"""Padding, and two tokens whose norms over both are 5, 1, 1, 1, 2, 2, 0, 1."""
ROW = [0.1, 0.4, -0.6, 0.2, -0.3, 0.1, 9.0, 0.7]
"""Scores 0.5, 0.4, 0.6, 0.2, 0.6, 0.2, 0, 0.7."""
SQUARE = [ROW, ROW[::-1], *[[float(row + 1)] * 8 for row in range(6)]]


def test_norms_by_hand_count_every_token_and_no_padding():
    model = Lookup(TABLE, first=SQUARE)
    found = input_norms(model, ["layer.0.dense"], rows([ONE, OTHER], [PAD, PAD]))
    assert found["layer.0.dense"].tolist() == pytest.approx([5, 1, 1, 1, 2, 2, 0, 1])
    twice = input_norms(model, ["layer.0.dense"], rows([ONE, PAD], [OTHER, PAD]) * 4)
    assert twice["layer.0.dense"].tolist() == pytest.approx([10, 2, 2, 2, 4, 4, 0, 2])


def test_scores_by_hand():
    norms = torch.tensor([5.0, 1, 1, 1, 2, 2, 0, 1])
    expected = [0.5, 0.4, 0.6, 0.2, 0.6, 0.2, 0, 0.7]
    assert scores(torch.tensor([ROW]), norms)[0].tolist() == pytest.approx(expected)


def test_half_of_each_output_goes_by_hand():
    model = Lookup(TABLE, first=SQUARE)
    assert prune(model, rows([ONE, OTHER, PAD])) == [0]
    [found] = weights(model)
    assert found[0] == pytest.approx([0.1, 0, -0.6, 0, -0.3, 0, 0, 0.7])  # the 9 multiplies nothing
    assert found[1] == pytest.approx([0.7, 9.0, 0, 0, 0.2, -0.6, 0, 0])  # 3.5, 9, .1, .3, .4, 1.2, 0, .1
    assert found[2:] == [[row + 1.0, row + 1.0, 0, 0, row + 1.0, row + 1.0, 0, 0] for row in range(6)]


def test_two_of_each_four_go_by_hand():
    model = Lookup(TABLE, first=SQUARE)
    prune(model, rows([ONE, OTHER, PAD]), pattern="2:4")
    [found] = weights(model)
    assert found[0] == pytest.approx([0.1, 0, -0.6, 0, -0.3, 0, 0, 0.7])
    assert found[1] == pytest.approx([0.7, 9.0, 0, 0, 0.2, -0.6, 0, 0])
    assert share_of_groups_kept(model, 2, 4) == 1


def test_a_block_is_weighed_with_what_the_pruned_blocks_before_it_make():
    model = Lookup([[0.0, 0], [1, 1]], first=[[2.0, 1], [1, 3]], second=[[1.4, 1.0]])
    prune(model, rows([ONE]))
    # Pruned, the first makes 2 and 3, so 2.8 < 3; unpruned it would make 3 and 4, and 4.2 > 4.
    assert weights(model) == [[[2, 0], [0, 3]], [[0, 1]]]


def test_what_is_pruned_together_is_a_layer_of_the_encoder():
    found = blocks(linear_names(tiny("bert")))
    assert [len(names) for names in found] == [6, 6, 6, 1, 1]
    assert found[-1] == ["classifier"]
    assert [name for names in found for name in names] == linear_names(tiny("bert"))


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_is_pruned_and_keeps_the_pattern(kind):
    model = tiny(kind)
    prune(model, [BATCH], pattern="2:4")
    assert share_of_groups_kept(model, 2, 4) == 1
    assert sparsity_of(model) == 0.5


def test_unstructured_takes_the_same_share_of_every_output():
    model = tiny("bert")
    prune(model, [BATCH], sparsity=0.75)
    for name in linear_names(model):
        weight = model.get_submodule(name).weight
        assert ((weight == 0).sum(dim=1) == int(0.75 * weight.shape[1])).all(), name


def test_padding_changes_no_mask():
    padded, bare = tiny("bert"), tiny("bert")
    longer = {name: nn.functional.pad(value, (0, 5)) for name, value in BATCH.items()}
    prune(padded, [longer])
    prune(bare, [BATCH])
    assert all(torch.equal(value, bare.state_dict()[name]) for name, value in padded.state_dict().items())


def test_a_width_that_is_no_multiple_is_refused_before_anything_is_zeroed():
    model = Lookup([[0.0] * 6, [1.0] * 6], first=[[1.0] * 6] * 8, second=[[1.0] * 8])
    before = copy.deepcopy(weights(model))
    with pytest.raises(ModelError, match=r"layer\.0\.dense \(6 inputs\): set prune\.pattern=unstructured"):
        prune(model, rows([ONE]), pattern="2:4")
    assert weights(model) == before


def test_an_input_that_is_not_finite_is_an_error_that_names_its_layer():
    model = Lookup([[0.0, 0], [float("inf"), 1]], first=[[1.0, 1]])
    with pytest.raises(TrainingError, match=r"layer\.0\.dense: what these layers read is not finite"):
        prune(model, rows([ONE]))
