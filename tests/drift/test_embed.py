"""The champion's embeddings: its own logits come of them, exact and quantised, and what moved in them is found."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from hone.tasks.drift.embed import classified, write_embedder
from hone.tasks.drift.measure import Sample, measure
from hone.tasks.errors import ExportError
from tests.evaluate.conftest import tiny_folder, tiny_onnx_folder

__all__ = ["tiny_folder", "tiny_onnx_folder"]

INPUTS = {
    "input_ids": np.array([[2, 9, 20, 3], [2, 8, 3, 0]]),
    "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


def answers(folder: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    given = {found.name: INPUTS.get(found.name, np.zeros((2, 4), np.int64)) for found in session.get_inputs()}
    return np.asarray(session.run(["logits"], given)[0])


def test_the_last_layer_makes_the_logits_of_the_embeddings(tiny_onnx_folder: Path, tmp_path: Path) -> None:
    embedder = write_embedder(tiny_onnx_folder, tmp_path / "embedder")
    weights = {w.name: numpy_helper.to_array(w) for w in onnx.load(tiny_onnx_folder / "model.onnx").graph.initializer}
    weight, bias = weights["classifier.weight"], weights["classifier.bias"]
    product = answers(embedder) @ (weight if weight.shape[1] == len(bias) else weight.T) + bias
    np.testing.assert_allclose(product, answers(tiny_onnx_folder), atol=1e-5)


def test_of_quantised_activations_it_is_what_they_were_before() -> None:
    def node(kind: str, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
        return onnx.helper.make_node(kind, inputs, outputs)

    nodes = [
        node("DynamicQuantizeLinear", ["pooled"], ["integers", "scale", "zero"]),
        node("MatMulInteger", ["integers", "weight", "zero"], ["product"]),
        node("Cast", ["product"], ["unscaled"]),
        node("Mul", ["scale", "weight_scale"], ["product_scale"]),
        node("Mul", ["unscaled", "product_scale"], ["scaled"]),
        node("Add", ["scaled", "bias"], ["logits"]),
    ]
    assert classified(onnx.helper.make_graph(nodes, "dynamic", [], []), "logits") == "pooled"
    nodes = [
        node("QuantizeLinear", ["pooled", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("Gemm", ["d", "weight", "bias"], ["logits"]),
    ]
    assert classified(onnx.helper.make_graph(nodes, "static", [], []), "logits") == "pooled"
    with pytest.raises(ExportError, match="nothing is multiplied on the way to 'logits'"):
        classified(onnx.helper.make_graph([node("Relu", ["x"], ["logits"])], "none", [], []), "logits")


@pytest.mark.parametrize(("shift", "drifted"), [(0.0, False), (1.0, True)])
def test_embeddings_that_moved_are_found_and_others_are_not(shift: float, drifted: bool) -> None:
    draw = np.random.default_rng(0)
    texts = ["the film is good", "a story"] * 150

    def side(moved: float) -> Sample:
        vectors = draw.normal(size=(300, 32))
        vectors[:, :3] += moved
        return Sample(texts, ["good", "bad"] * 150, texts, embeddings=vectors)

    parts = measure(side(0.0), side(shift), set(" ".join(texts).split()), 0.2, seed=0, objective="text-classification")
    found = {part.name: part.drifted for part in parts}
    assert found == {
        "labels": False,
        "length": False,
        "vocabulary": False,
        "unseen_words": False,
        "embeddings": drifted,
    }
