"""Weights in blocks: the grid by hand, as onnxruntime reads it, and what training makes of it."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hone.tasks.errors import TrainingError
from hone.tasks.export.blockwise import _packed
from hone.tasks.model.training.block_grid import block_grid, rounded_blocks
from hone.tasks.model.training.fake_quantization import attach, detach, plan_for, snap_to_grid
from tests.prune.decoders import BATCH, tiny


def test_four_bits_span_the_range_of_each_block_widened_to_zero() -> None:
    weight = torch.tensor([[-1.0, 0.0, 2.0, 0.5, 3.1, 6.0, 1.0, 2.0]])
    grid = block_grid(weight, bits=4, block=4)
    assert torch.allclose(grid.scales, torch.tensor([[0.2, 0.4]]))
    assert grid.zeros.tolist() == [[5, 0]]
    assert grid.integers.tolist() == [[0, 5, 15, 7, 8, 15, 2, 5]]  # 0.5 / 0.2 goes to the even
    assert torch.allclose(grid.values(), torch.tensor([[-1.0, 0.0, 2.0, 0.4, 3.2, 6.0, 0.8, 2.0]]))


def test_eight_bits_are_symmetric_around_128() -> None:
    grid = block_grid(torch.tensor([[-1.27, 0.0, 0.635, 0.01]]), bits=8, block=4)
    assert torch.allclose(grid.scales, torch.tensor([[0.01]]))
    assert grid.zeros.tolist() == [[128]]
    assert grid.integers.tolist()[0][:2] == [1, 128]
    assert grid.integers.tolist()[0][3] == 129


def test_a_block_of_zeros_stays_zero() -> None:
    for bits in (4, 8):
        assert not block_grid(torch.zeros(2, 16), bits, 16).values().any()


@given(st.sampled_from([4, 8]), st.sampled_from([16, 32]), st.integers(0, 2**31), st.booleans())
def test_what_lies_on_its_grid_gives_the_same_integers_again(bits: int, block: int, seed: int, search: bool) -> None:
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(12, 64, generator=draw) * 10 ** torch.randint(-3, 3, (12, 1), generator=draw)
    once = block_grid(weight, bits, block, search=search)
    again = block_grid(once.values(), bits, block)
    assert torch.equal(once.values().sign(), again.values().sign())
    assert torch.allclose(once.values(), again.values(), rtol=1e-5, atol=0)


def test_a_searched_range_never_loses_more() -> None:
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0)) ** 3
    whole, searched = (
        (block_grid(weight, 4, 32, search=search).values() - weight).square().view(64, -1, 32).sum(dim=-1)
        for search in (False, True)
    )
    assert (searched <= whole).all()
    assert searched.sum() < 0.98 * whole.sum()  # measured 0.971


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize(("bits", "block"), [(4, 16), (4, 32), (8, 32), (8, 64)])
def test_onnxruntime_computes_with_the_very_roundings(bits: int, block: int, rows: int) -> None:
    draw = torch.Generator().manual_seed(bits + block)
    weight, values = torch.randn(48, 192, generator=draw), torch.randn(rows, 192, generator=draw) * 3
    grid = block_grid(weight, bits, block)
    held = {
        "q": _packed(grid.integers.view(48, -1, block).numpy(), bits),
        "s": grid.scales.numpy(),
        "z": _packed(grid.zeros.numpy(), bits),
    }
    attributes = {"K": 192, "N": 48, "bits": bits, "block_size": block, "accuracy_level": 4}
    node = helper.make_node("MatMulNBits", ["x", *held], ["y"], domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 192])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 48])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in held.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    (found,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": values.numpy()})
    expected = rounded_blocks(values, block) @ grid.values().T
    exact = values @ grid.values().T
    assert np.abs(found - expected.numpy()).max() < 1e-4 * expected.abs().max()
    assert (exact - expected).abs().max() > 1e-3 * expected.abs().max()  # the inputs' rounding is no small matter


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma"])
def test_a_decoder_that_rounds_in_blocks_answers_as_one_whose_weights_lie_on_the_grid(kind: str) -> None:
    model = tiny(kind, layers=1)
    plan = plan_for(model, "blockwise", tables=True, bits=4, block=16)
    with torch.no_grad():
        exact = model(**BATCH).logits
        rounded = attach(model, plan)(**BATCH).logits
        again = attach(snap_to_grid(detach(model), plan), plan)(**BATCH).logits
        weights_alone = detach(model)(**BATCH).logits
    assert (rounded - exact).abs().max() > 1e-2
    assert torch.allclose(rounded, again, atol=1e-4)
    assert (weights_alone - rounded).abs().max() > 1e-4  # inputs were rounded too
    assert plan.bits_of("lm_head") == 8


def test_gradients_pass_through_the_blocks() -> None:
    model = attach(model := tiny("llama", layers=1), plan_for(model, "blockwise", tables=True, bits=4, block=16))
    model(**BATCH).logits.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_inputs_that_are_no_whole_blocks_are_refused_by_name() -> None:
    with pytest.raises(TrainingError, match=r"down_proj has 40 inputs, .* blocks of 16: set quantize.block_size"):
        plan_for(tiny("llama", layers=1, neurons=40), "blockwise", tables=True, bits=4, block=16)
