"""Fake quantisation computes what ONNX's integer operators compute."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.architectures.use import use_of
from hone.tasks.model.training.fake_quantization import (
    FakeQuantLinear,
    QuantizationConfig,
    attach,
    detach,
    dynamic_grid,
    plan_for,
    read_plan,
    snap_to_grid,
    weight_grid,
)
from tests.prune.encoders import CONFIGS, logits, tiny


def onnx_operator(kind: str, inputs: dict[str, np.ndarray], outputs: dict[str, int]) -> list[np.ndarray]:
    """What onnxruntime's operator of that name gives."""
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    results = [helper.make_tensor_value_info(name, kind_of, None) for name, kind_of in outputs.items()]
    graph = helper.make_graph([helper.make_node(kind, list(inputs), list(outputs))], "one", values, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def linear(first_token: bool = False, scale: float | None = None, seed: int = 0) -> FakeQuantLinear:
    torch.manual_seed(seed)
    layer = nn.Linear(8, 6)
    layer.__class__ = FakeQuantLinear
    layer.first_token, layer.input_scale = first_token, scale
    return layer


def test_a_weight_is_rounded_by_hand():
    weight = torch.tensor([[1.27, -0.64, 0.004], [-25.4, 0.1, 0.3], [0.0, 0.0, 0.0]])
    integers, scale = weight_grid(weight)
    assert integers.tolist() == [[127, -64, 0], [-127, 0, 2], [0, 0, 0]]  # 0.1 / 0.2 is a tie, and goes to the even 0
    assert integers.dtype == torch.int8
    assert torch.allclose(scale, torch.tensor([0.01, 0.2, 1.0]))


@pytest.mark.parametrize("seed", range(5))
def test_a_weight_on_its_grid_gives_the_same_integers_again(seed):
    torch.manual_seed(seed)
    integers, scale = weight_grid(torch.randn(300, 40) * 10.0 ** torch.randint(-6, 4, (300, 1)))
    again, scale_again = weight_grid(integers * scale[:, None])
    assert torch.equal(integers, again)
    assert torch.allclose(scale, scale_again, rtol=2e-7)  # one unit in the last place


def test_zeros_stay_zeros():
    torch.manual_seed(0)
    weight = torch.randn(16, 16) * (torch.rand(16, 16) > 0.5)
    integers, _scale = weight_grid(weight)
    assert not integers[weight == 0].any()


def test_the_integers_are_those_of_quantize_dynamic(tmp_path):
    torch.manual_seed(0)
    weight = torch.randn(24, 16) * torch.logspace(-3, 3, 24)[:, None]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 24])],
        [numpy_helper.from_array(np.ascontiguousarray(weight.T.numpy()), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "a.onnx")
    quantize_dynamic(tmp_path / "a.onnx", tmp_path / "b.onnx", per_channel=True, weight_type=QuantType.QInt8)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "b.onnx").graph.initializer}
    integers, scale = weight_grid(weight)
    assert np.array_equal(stored["w_quantized"].T, integers.numpy())
    assert np.array_equal(stored["w_scale"], scale.numpy())
    assert not stored["w_zero_point"].any()


RANGES = [(-3.0, 5.0), (0.5, 7.0), (-9.0, -2.0), (-1e-4, 3e3), (0.0, 0.0)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_dynamic_rounding_is_that_of_dynamicquantizelinear_to_the_bit(low, high):
    torch.manual_seed(1)
    values = torch.rand(64, 33) * (high - low) + low
    integers, scale, zero = onnx_operator(
        "DynamicQuantizeLinear",
        {"x": values.numpy()},
        {"integers": TensorProto.UINT8, "scale": TensorProto.FLOAT, "zero": TensorProto.UINT8},
    )
    own_scale, own_zero = dynamic_grid(values)
    assert (own_scale.item(), own_zero.item()) == (scale.item(), float(zero))
    layer = linear()
    layer.weight.data = torch.eye(33)
    layer.bias.data = torch.zeros(33)
    expected = (integers.astype(np.float32) - float(zero)) * scale
    # The identity lies on its grid up to one unit in the last place.
    assert np.allclose(layer(values).detach().numpy(), expected, rtol=2e-7, atol=0)


def test_static_rounding_is_that_of_quantizelinear():
    torch.manual_seed(2)
    values = torch.randn(50, 8) * 3
    scale = np.float32(0.031)
    (integers,) = onnx_operator(
        "QuantizeLinear",
        {"x": values.numpy(), "scale": np.array(scale), "zero": np.zeros((), np.int8)},
        {"integers": TensorProto.INT8},
    )
    assert integers.min() == -128  # some are clipped
    layer = linear(scale=float(scale))
    layer.weight.data, layer.bias.data = torch.eye(8), torch.zeros(8)
    assert np.allclose(layer(values).detach().numpy(), integers * scale, rtol=2e-7, atol=0)


def test_gradients_pass_straight_through_a_dynamic_layer():
    layer, values, upstream = linear(), torch.randn(5, 8, requires_grad=True), torch.randn(5, 6)
    layer(values).backward(upstream)
    integers, weight_scale = weight_grid(layer.weight)
    assert torch.allclose(values.grad, upstream @ (integers * weight_scale[:, None]))
    scale, zero = dynamic_grid(values)
    seen = torch.round(values.detach() / scale).clamp(-zero, 255 - zero) * scale
    assert torch.allclose(layer.weight.grad, upstream.T @ seen, atol=1e-6)


def test_gradients_stop_where_a_static_scale_clips():
    layer = linear(scale=0.01)  # holds -1.28 to 1.27
    values = torch.tensor([[0.5, 1.27, 1.29, -1.28, -1.30, 0.0, 9.0, -9.0]], requires_grad=True)
    layer(values).sum().backward()
    assert (values.grad != 0).tolist() == [[True, True, False, True, False, True, False, False]]


def test_the_first_token_is_rounded_by_its_own_range():
    torch.manual_seed(3)
    values = torch.randn(2, 5, 8)
    loud = torch.cat([values[:, :1], values[:, 1:] * 100], dim=1)
    alone, all_tokens = linear(first_token=True), linear(first_token=False)
    assert torch.equal(alone(values)[:, 0], alone(loud)[:, 0])
    assert torch.equal(alone(loud)[:, :1], all_tokens(values[:, :1]))
    assert not torch.allclose(all_tokens(values)[:, 0], all_tokens(loud)[:, 0], atol=1e-3)


def test_rounding_stays_fp32_under_autocast():
    layer, values = linear(), torch.randn(64, 8)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = layer(values)
    assert narrow.dtype == torch.bfloat16
    # bf16 keeps 8 bits of each product; a rounding done in bf16 would be off by whole steps of the grid as well.
    assert torch.allclose(narrow.float(), layer(values), atol=0.03)


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_attaching_changes_no_parameter_and_detaching_undoes_it(kind):
    model = tiny(kind)
    before, names, kinds = logits(model), list(model.state_dict()), [type(module) for module in model.modules()]
    plan = plan_for(model, "dynamic", tables=True)
    rounded = logits(attach(model, plan))
    assert list(model.state_dict()) == names
    assert not torch.equal(rounded, before)
    assert torch.allclose(rounded, before, atol=0.25 * float(before.abs().max()))
    assert torch.equal(logits(detach(model)), before)
    assert [type(module) for module in model.modules()] == kinds


def test_hooks_on_a_layer_survive_attaching():
    model = tiny("bert")
    seen, plan = [], plan_for(model, "dynamic", tables=False)
    model.classifier.register_forward_hook(lambda *_: seen.append(1))
    logits(attach(model, plan))
    assert seen == [1]


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_baking_leaves_what_a_rounding_model_answers(kind):
    model = tiny(kind)
    plan = plan_for(model, "dynamic", tables=True)
    rounded = logits(attach(model, plan))
    baked = logits(attach(snap_to_grid(detach(model), plan), plan))
    assert torch.allclose(rounded, baked, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_what_follows_the_last_keys_and_values_reaches_the_answer_by_its_first_token_alone(kind):
    model = tiny(kind)
    before = logits(model)

    def disturb(_module, _inputs, output):
        return torch.cat([output[:, :1], output[:, 1:] + 5], dim=1)

    names = use_of(model).first_token
    assert len(names) == 4
    handles = [model.get_submodule(name).register_forward_hook(disturb) for name in names]
    assert torch.equal(logits(model), before)
    for handle in handles:
        handle.remove()
    others = [name for name in linear_names(model) if name not in names and "2" in name]  # last keys and values
    model.get_submodule(others[0]).register_forward_hook(disturb)
    assert not torch.equal(logits(model), before)


def test_layers_that_are_kept_compute_in_fp32():
    model = tiny("bert")
    plan = plan_for(model, "dynamic", tables=True)
    attach(model, plan.excluding([*plan.linears, *plan.tables]))
    assert torch.equal(logits(model), logits(tiny("bert")))


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = QuantizationConfig("static", ("a", "b"), ("t",), ("b",), ("c",), {"a": 0.1, "b": 0.25})
    plan.write(tmp_path)
    assert read_plan(tmp_path) == plan


def test_a_table_is_rounded_row_by_row():
    model = tiny("bert")
    table = model.bert.embeddings.word_embeddings
    table.weight.data[7] *= 1000
    plan = QuantizationConfig("dynamic", (), ("bert.embeddings.word_embeddings",))
    attach(model, plan)
    found, exact = table(torch.tensor([5, 7])).detach(), table.weight.detach()[[5, 7]]
    half_steps = exact.abs().amax(dim=1, keepdim=True) / 254
    assert bool(((found - exact).abs() <= half_steps * 1.001).all())
