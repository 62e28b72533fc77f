"""A tiny model as the export stage leaves it, in fp32 and in 8 bits, and ways to damage what it left."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from hone.tasks import store
from hone.tasks.contracts import ExportedModels, OnnxModel, StageRecord
from hone.tasks.export.export import export_checkpoint
from hone.tasks.export.graph import initializers
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.runtime.model_under_test import ModelUnderTest
from hone.tasks.model.text import Rows
from hone.tasks.model.training.fake_quantization import plan_for
from hone.tasks.quantize.trainable import save_quantized
from tests.model.teaching_fixtures import write_teacher
from tests.tiny import sentences

LABELS = ["bad", "good"]
_FOUND = sentences(60, seed=4)
ROWS = Rows(
    texts=[text for text, _ in _FOUND], pairs=None, labels=np.array([int(label == "good") for _, label in _FOUND])
)
QUERY = "bert.encoder.layer.1.attention.self.query"
FEED_IN = "bert.encoder.layer.0.intermediate.dense"


_places: list[TemporaryDirectory] = []
"""They go with this process."""


@cache
def write_models() -> dict[str, OnnxModel]:
    """`teacher` in fp32 and `quantized` in 8 bits, of 2 layers each, once for all tests of this process: none of them
    may change their folders."""
    torch.set_num_threads(1)
    _places.append(TemporaryDirectory(prefix="hone-models-"))
    folder = Path(_places[-1].name)
    teacher = write_teacher(folder / "checkpoints" / "teacher", layers=2)
    model = load_model(teacher)
    plan = plan_for(model, "dynamic", tables=True)
    save_quantized(model, load_tokenizer(teacher), plan, folder / "checkpoints" / "quantized")
    found = {}
    for name, stage in (("teacher", "train"), ("quantized", "quantize")):
        made = export_checkpoint(
            name, folder / "checkpoints" / name, folder / "exported" / name, opset=18, for_cpu=True
        )
        found[name] = OnnxModel(
            name=name,
            stage=stage,
            artifact=store.describe(folder / "exported" / name, []),
            precision=made.precision,
            parameters=made.parameters,
            graph_bytes=made.graph_bytes,
            source=store.describe(folder / "checkpoints" / name, []),
        )
    return found


def chain_of(*models: OnnxModel) -> ExportedModels:
    """The models as the export stage returns them."""
    record = StageRecord(name="export", status="ran", reason="first run of this stage", seconds=1.0)
    return ExportedModels(record=record, models=list(models))


def subject_of(model: OnnxModel) -> ModelUnderTest:
    """The model in ONNX Runtime."""
    return ModelUnderTest(
        name=model.name,
        stage=model.stage,
        runtime="onnxruntime",
        precision=model.precision,
        folder=store.open_artifact(model.artifact),
        digest=model.artifact.digest,
        size_bytes=model.graph_bytes,
        parameters=model.parameters,
    )


def damaged(model: OnnxModel, folder: Path, change: Callable[[Path], None]) -> OnnxModel:
    """The model with a changed copy of its exported folder."""
    shutil.copytree(store.open_artifact(model.artifact), folder)
    change(folder)
    return model.model_copy(update={"artifact": store.describe(folder, [])})


def in_graph(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], None]:
    """A change of the graph as a change of its folder."""

    def change_file(folder: Path) -> None:
        graph = onnx.load(folder / "model.onnx")
        change(graph)
        onnx.save(graph, folder / "model.onnx")

    return change_file


def in_tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """The same of one of the graph's constants."""

    def change_tensor(graph: onnx.ModelProto) -> None:
        tensor = initializers(graph)[name]
        changed = np.ascontiguousarray(change(numpy_helper.to_array(tensor)))
        tensor.CopyFrom(numpy_helper.from_array(changed, name))

    return in_graph(change_tensor)


def in_json(file: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    """A change of a JSON file as a change of its folder."""

    def change_file(folder: Path) -> None:
        values = json.loads((folder / file).read_text(encoding="utf-8"))
        change(values)
        (folder / file).write_text(json.dumps(values), encoding="utf-8")

    return change_file


def transpose_weight(name: str) -> Callable[[Path], None]:
    """Of a square linear layer in fp32."""
    return in_tensor(f"{name}.weight", np.transpose)


def double_scale(name: str) -> Callable[[Path], None]:
    """Of an 8-bit linear layer's weight."""
    return in_tensor(f"{name}.weight_scale", lambda scale: scale * 2)


def ignore_mask(graph: onnx.ModelProto) -> None:
    """Adds nothing where the graph adds the lowest number to the scores of padding."""
    masks = [
        tensor
        for tensor in graph.graph.initializer
        if not tensor.dims and tensor.data_type == onnx.TensorProto.FLOAT and numpy_helper.to_array(tensor) < -1e30
    ]
    assert len(masks) == 1
    masks[0].CopyFrom(numpy_helper.from_array(np.zeros((), np.float32), masks[0].name))


def swap_label_names(config: dict) -> None:
    """bad is called good, and good bad."""
    config["id2label"] = {"0": "good", "1": "bad"}
    config["label2id"] = {"good": 0, "bad": 1}


def swap_words(tokenizer: dict) -> None:
    """Another vocabulary of the same words: `film` and `story` have each other's ids."""
    words = tokenizer["model"]["vocab"]
    words["film"], words["story"] = words["story"], words["film"]
