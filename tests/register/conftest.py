"""An accepted chain of contracts around a tiny ONNX model made by hand: no training."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hone.configs.recipe import Recipe, parse_recipe
from hone.tasks import store, tracking
from hone.tasks.contracts import (
    Artifact,
    Candidate,
    Check,
    EvaluationReport,
    ExportedModels,
    OnnxModel,
    PreparedData,
    Serving,
    SessionSettings,
    StageRecord,
    Verdict,
)
from hone.tasks.evidence import GOLDEN
from hone.tasks.model.runtime.runtime import SERVING, Classifier, TextSettings
from hone.tasks.model.text import Rows
from hone.tasks.probe.golden import write_golden
from hone.tasks.probe.probe import probe
from hone.tasks.stage import RunContext
from hone.tasks.tracking import files, server

LABELS = ["awful", "fair", "superb"]
WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
    *("good", "bad", "film", "very", "not", "the", "a", "plot", "great", "dull"),
]
TEXTS = [
    "good film",
    "bad film",
    "not a very good plot",
    "the great film",
    "dull dull dull",
    "unheard words",
    "a plot",
    "",
]
PAIRS = ["bad plot", "good plot", "the film", "a film", "great", "not good", "very dull", "the plot"]
ANSWERED = Serving(requests=8, answered=8, max_abs_difference=0.0, load_seconds=0.2, peak_memory_bytes=9_000_000)
BY_THE_CLOCK = ("MLmodel",)
"""Files of a logged model that hold its id and its time."""
RECORD = StageRecord(name="any", status="ran", reason="first run of this stage", seconds=1.0)


def write_model(folder: Path, seed: int = 0, **texts: Any) -> Path:
    """A classifier over the mean of its words: logits = mean(words + types) @ head, with padding masked."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    settings = TextSettings(**{"max_length": 8, **texts})
    tokenizer.enable_padding(pad_id=0)
    tokenizer.enable_truncation(settings.max_length)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / SERVING).write_text(json.dumps(asdict(settings)))
    config = {"id2label": {str(place): label for place, label in enumerate(LABELS)}, "pad_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config))
    draw = np.random.default_rng(seed)
    shapes = {"words": (len(WORDS), 4), "types": (2, 4), "head": (4, len(LABELS))}
    weights = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {"last": np.array([2]), "along": np.array([1])}
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("Gather", ["words", "input_ids"], ["word"]),
            node("Gather", ["types", "token_type_ids"], ["type"]),
            node("Add", ["word", "type"], ["both"]),
            node("Cast", ["attention_mask"], ["there"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["there", "last"], ["mask"]),
            node("Mul", ["both", "mask"], ["masked"]),
            node("ReduceSum", ["masked", "along"], ["sum"], keepdims=0),
            node("ReduceSum", ["there", "along"], ["count"], keepdims=1),
            node("Div", ["sum", "count"], ["mean"]),
            node("MatMul", ["mean", "head"], ["logits"]),
        ],
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    return folder


def write_requests(path: Path, model: Path, places: list[int], pairs: bool = False) -> Path:
    """Golden requests of the tiny model for some of the texts, as the evaluation writes them."""
    rows = Rows(TEXTS, PAIRS if pairs else None, np.zeros(len(TEXTS), np.int64)).pick(places)
    logits = Classifier(model).logits(rows.texts, rows.pairs, batch_size=1)
    write_golden(path, rows, logits, LABELS, "text-classification")
    return path


_PROBED: dict[tuple[str, str, bool], Serving] = {}


@pytest.fixture(autouse=True)
def _probe_the_same_files_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that imports MLflow takes seconds: of files that are the same byte for byte, what became of the first
    one is told again."""

    def told_again(folder: Path, golden: Path, logged: bool = False) -> Serving:
        parts = {name: value for name, value in files.digests_of(folder).items() if name not in BY_THE_CLOCK}
        key = (json.dumps(parts), store.file_digest(golden), logged)
        if key not in _PROBED:
            _PROBED[key] = probe(folder, golden, logged=logged)
        return _PROBED[key]

    monkeypatch.setattr("hone.tasks.register.serving.probe", told_again)
    monkeypatch.setattr("hone.tasks.promote.change.probe", told_again)


@pytest.fixture
def storage(session_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A storage whose database exists, shared by all tests of the session."""
    folder = session_folder / "storage of the tests"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.configure(folder)
    server.client()
    return folder


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """The exported model, which reads 8 tokens of one text."""
    return write_model(tmp_path / "exported")


class Chain:
    """Everything a run knows when it comes to register."""

    def __init__(self, folder: Path, model: Path, storage: Path, name: str, pairs: bool, **sections: Any) -> None:
        self.model, self.storage, self.pairs = model, storage, pairs
        self.session = SessionSettings(providers=["cpu"], threads=2, memory_arena=False)
        self.recipe: Recipe = parse_recipe(
            {"name": name, "data": {"train": "a.csv"}, "model": {"source": "a", "max_length": 8}} | sections
        )
        data = folder / "data"
        data.mkdir(exist_ok=True)
        columns = {
            "text": pa.array(TEXTS, pa.string()),
            "pair": pa.array(PAIRS if pairs else [None] * len(TEXTS), pa.string()),
            "label": pa.array([place % len(LABELS) for place in range(len(TEXTS))], pa.int32()),
        }
        pyarrow.parquet.write_table(pa.table(columns), data / "test.parquet")
        self.data = PreparedData(
            record=RECORD,
            artifact=store.describe(data, []),
            content_digest=store.folder_digest(data),
            labels=LABELS,
            rows={"test": len(TEXTS)},
            has_pairs=pairs,
        )

    @property
    def exported(self) -> ExportedModels:
        artifact = store.describe(self.model, [])
        onnx_model = OnnxModel(
            name="quantized",
            stage="quantize",
            artifact=artifact,
            precision="int8",
            parameters=60,
            graph_bytes=(self.model / "model.onnx").stat().st_size,
            source=artifact,
        )
        return ExportedModels(record=RECORD, models=[onnx_model])

    def evidence(self) -> Artifact:
        """The golden requests, as the evaluation leaves them."""
        folder = self.model.with_name("evidence")
        folder.mkdir(exist_ok=True)
        write_requests(folder / GOLDEN, self.model, list(range(len(TEXTS))), self.pairs)
        return store.describe(folder, [])

    def report(self, speedup: float = 8.69) -> EvaluationReport:
        """What was measured; another speed-up is another piece of evidence."""
        chosen = Candidate(
            name="quantized",
            stage="quantize",
            runtime="onnxruntime",
            provider="CPUExecutionProvider",
            precision="int8",
            metrics={"accuracy": 0.868},
            confusion=[[1]],
            size_bytes=1234,
            parameters=60,
            speedup=speedup,
        )
        return EvaluationReport(
            record=RECORD,
            artifact=self.evidence(),
            candidates=[chosen],
            selected="quantized",
            baseline="quantized",
            reference="quantized",
            machine={},
            session=self.session,
            serving=ANSWERED,
        )

    def verdict(self, verdict: str = "ACCEPTED") -> Verdict:
        check = Check(name="speedup", verdict=verdict, value=8.69, threshold=6.0, unit="x", direction="at_least")
        return Verdict(record=RECORD, verdict=verdict, selected="quantized", checks=[check])

    def context(self, run_id: str) -> RunContext:
        return RunContext(recipe=self.recipe, output="/out", storage=str(self.storage), mlflow_run_id=run_id)


@pytest.fixture
def chain(tmp_path: Path, model_folder: Path, storage: Path, request: pytest.FixtureRequest) -> Callable[..., Chain]:
    """Makes a chain whose registered model is named after the test."""
    name = re.sub("[^a-z]+", "-", request.node.name)[:90]

    def make(pairs: bool = False, **sections: Any) -> Chain:
        write_model(model_folder, pairs=pairs, lowercase=sections.get("data", {}).get("lowercase", False))
        return Chain(tmp_path, model_folder, storage, name, pairs, **sections)

    return make
