"""The first layer that a graph does not compute is named, in graphs that were rewritten on their way out."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from hone.tasks.evaluate.locate import first_divergence, graph_values, layer_outputs
from hone.tasks.export.graph import initializers, write_onnx
from hone.tasks.export.graph_passes import optimize_graph
from hone.tasks.export.integer import quantize_graph
from hone.tasks.model.training.fake_quantization import attach
from tests.export.conftest import Export, export, plan_of, tokens

LAYER = "bert.encoder.layer"
Change = Callable[[np.ndarray], np.ndarray]


def written(made: Export, scheme: str, path: Path, changes: dict[str, Change] | None = None) -> tuple[nn.Module, Path]:
    """The PyTorch side of the last hand-off, and the file that it hands over to, with some constants changed."""
    graph, model = made.copy(), copy.deepcopy(made.model)
    optimize_graph(graph, for_cpu=scheme != "static")
    if scheme != "fp32":
        plan = plan_of(model, scheme, scale=0.05)
        model = attach(made.baked(plan), plan)
        quantize_graph(graph, model, plan)
    for name, change in (changes or {}).items():
        tensor = initializers(graph)[name]
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(tensor))), name))
    write_onnx(graph, path / "model.onnx")
    return model, path / "model.onnx"


def batch_for(made: Export) -> dict[str, torch.Tensor]:
    """5 rows of 1 to 12 tokens."""
    names = made.tokenizer.model_input_names
    return {name: values for name, values in tokens(5, 12).items() if name in names}


@pytest.mark.parametrize("scheme", ["fp32", "dynamic", "static"])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_a_sound_graph_has_every_layer(kind: str, scheme: str, tmp_path: Path) -> None:
    model, file = written(export(kind), scheme, tmp_path)
    assert first_divergence(model, file, batch_for(export(kind)), "exact" if scheme == "fp32" else "integer") == ""


def transposed(name: str) -> dict[str, Change]:
    return {f"{name}.weight": np.transpose}


def scaled(name: str) -> dict[str, Change]:
    return {f"{name}.weight_scale": lambda scale: scale * 1.5}


@pytest.mark.parametrize(
    ("changes", "layer"),
    [
        (transposed(f"{LAYER}.0.attention.self.key"), f"{LAYER}.0.attention.self.key"),
        (transposed(f"{LAYER}.0.attention.output.dense"), f"{LAYER}.0.attention.output.dense"),
        (transposed(f"{LAYER}.1.attention.self.query"), f"{LAYER}.1.attention.self.query"),
        (transposed("bert.pooler.dense"), "bert.pooler.dense"),
        ({"bert.embeddings.position_embeddings.weight": np.flipud}, "bert.embeddings.position_embeddings"),
        # The exporter holds the equal weights of all norms once.
        ({"bert.embeddings.LayerNorm.weight": lambda weight: weight * 1.01}, "bert.embeddings.LayerNorm"),
        # By the next norm less than that is left of it.
        ({f"{LAYER}.0.attention.self.key.weight": lambda weight: weight * 1.0002}, f"{LAYER}.0.attention.self.key"),
        # Of two wrong layers, the one that comes first.
        (
            transposed("bert.pooler.dense") | transposed(f"{LAYER}.1.attention.self.value"),
            f"{LAYER}.1.attention.self.value",
        ),
    ],
)
def test_a_wrong_fp32_constant_is_located(changes: dict[str, Change], layer: str, tmp_path: Path) -> None:
    model, file = written(export("bert"), "fp32", tmp_path, changes)
    assert first_divergence(model, file, batch_for(export("bert")), "exact") == layer


@pytest.mark.parametrize("scheme", ["dynamic", "static"])
@pytest.mark.parametrize(
    "layer",
    [
        "bert.embeddings.word_embeddings",
        f"{LAYER}.0.attention.self.value",
        f"{LAYER}.0.output.dense",
        f"{LAYER}.1.intermediate.dense",
        "classifier",
    ],
)
def test_a_wrong_scale_is_located(scheme: str, layer: str, tmp_path: Path) -> None:
    model, file = written(export("bert"), scheme, tmp_path, scaled(layer))
    assert first_divergence(model, file, batch_for(export("bert")), "integer") == layer


def test_a_wrong_scale_of_what_goes_in_is_located(tmp_path: Path) -> None:
    layer = f"{LAYER}.0.intermediate.dense"
    changes: dict[str, Change] = {f"{layer}.input_scale": lambda scale: scale * 4}
    model, file = written(export("bert"), "static", tmp_path, changes)
    assert first_divergence(model, file, batch_for(export("bert")), "integer") == layer


class Idle(nn.Module):
    """A layer runs whose output nobody reads, and the exporter leaves it out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.idle, self.dense = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        values = self.words(input_ids)
        self.idle(values)
        return self.head(self.norm(self.dense(values)))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of the exporter
def test_a_layer_that_the_graph_leaves_out_is_not_to_blame(tmp_path: Path) -> None:
    model = Idle().eval()
    batch = {"input_ids": torch.arange(12).reshape(2, 6), "attention_mask": torch.ones(2, 6, dtype=torch.int64)}
    program = torch.onnx.export(model, tuple(batch.values()), input_names=list(batch), dynamo=True, verbose=False)
    graph = program.model_proto
    file = tmp_path / "model.onnx"
    onnx.save(graph, file)
    assert "idle.weight" not in initializers(graph)
    assert first_divergence(model, file, batch, "exact") == ""
    with torch.no_grad():
        model.head.weight.mul_(2)
    assert first_divergence(model, file, batch, "exact") == "head"
    with torch.no_grad():
        model.words.weight.mul_(2)
    assert first_divergence(model, file, batch, "exact") == "words"


def test_looking_leaves_the_model_and_the_file_as_they_were(tmp_path: Path) -> None:
    model, file = written(export("bert"), "fp32", tmp_path)
    before = file.read_bytes()
    layers, values = layer_outputs(model, batch_for(export("bert"))), graph_values(file, batch_for(export("bert")))
    assert [name for name, _ in layers][:2] == [
        "bert.embeddings.word_embeddings",
        "bert.embeddings.token_type_embeddings",
    ]
    assert len(values) > len(layers)
    assert all(not module._forward_hooks for module in model.modules())
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_weights_beside_the_graph_are_found(tmp_path: Path) -> None:
    model, file = written(export("bert"), "fp32", tmp_path, transposed("bert.pooler.dense"))
    graph = onnx.load(file)
    (tmp_path / "large").mkdir()
    write_onnx(graph, tmp_path / "large" / "model.onnx", limit=1000)
    assert (tmp_path / "large" / "model.onnx.data").exists()
    found = first_divergence(model, tmp_path / "large" / "model.onnx", batch_for(export("bert")), "exact")
    assert found == "bert.pooler.dense"
