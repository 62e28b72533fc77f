"""Exports of tiny models, made once: the exporter takes seconds for each."""

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.tasks.export.graph import export_onnx
from hone.tasks.model.architectures.layers import SUPPORTED, model_layers, set_layers
from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from hone.tasks.model.runtime.sessions import create_session
from hone.tasks.model.training.fake_quantization import QuantizationConfig, plan_for, snap_to_grid
from tests.prune.encoders import tiny
from tests.tiny import write_encoder

SHAPES = [(1, 1), (1, 9), (2, 16), (5, 7), (8, 32)]
"""Batch and length, of which the exporter saw none."""


@dataclass
class Export:
    """A model, the graph that the exporter made of it, and its tokenizer."""

    kind: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    graph: onnx.ModelProto

    def copy(self) -> onnx.ModelProto:
        """A graph to be changed."""
        return copy.deepcopy(self.graph)

    def baked(self, plan: QuantizationConfig) -> PreTrainedModel:
        """The model with its weights on the plan's grids."""
        return snap_to_grid(copy.deepcopy(self.model), plan)


@cache
def export(kind: str) -> Export:
    """An architecture by model type: two layers; only those that have token types are given them."""
    with TemporaryDirectory() as folder:
        own = load_tokenizer(write_encoder(Path(folder) / "encoder"))
    if kind not in ("albert", "bert", "electra"):
        own.model_input_names = ["input_ids", "attention_mask"]
    model = tiny(kind)
    if kind in SUPPORTED:  # of the others, ALBERT's layers are one, and ModernBERT's third is like its first
        set_layers(model, list(model_layers(model))[:2])
    return Export(kind, model, own, export_onnx(model, own, opset=18))


@pytest.fixture(params=["bert", "distilbert", "electra", "roberta"])
def alike(request: pytest.FixtureRequest) -> Export:
    """One export of each architecture whose layers are built and used as BERT's are."""
    return export(request.param)


@pytest.fixture(params=["albert", "bert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta"])
def every(request: pytest.FixtureRequest) -> Export:
    """One export of each supported architecture; xlm-roberta and camembert are roberta under other names."""
    return export(request.param)


@pytest.fixture
def bert() -> Export:
    return export("bert")


def tokens(batch: int, length: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Ids whose rows but the first are padded, [batch, length] each."""
    draw = np.random.default_rng([seed, batch, length])
    ids = draw.integers(5, 60, (batch, length))
    mask = np.arange(length) < np.r_[length, draw.integers(1, length + 1, batch - 1)][:, None]
    types = np.where(mask, np.arange(length) > length // 2, 0)
    # 1 is what the RoBERTas take for padding when they count positions, and 0 what the others do: the mask covers both.
    values = {"input_ids": np.where(mask, ids, 1), "attention_mask": mask, "token_type_ids": types}
    return {name: torch.from_numpy(value.astype(np.int64)) for name, value in values.items()}


def answers(graph: onnx.ModelProto | Path, given: dict[str, torch.Tensor]) -> np.ndarray:
    """What a CPU session says, logits [batch, labels]."""
    model = graph if isinstance(graph, Path) else graph.SerializeToString()
    session = create_session(model, ["cpu"], threads=1)
    return session.run(["logits"], {value.name: given[value.name].numpy() for value in session.get_inputs()})[0]


def expected(model: PreTrainedModel, given: dict[str, torch.Tensor], names: list[str]) -> np.ndarray:
    """What PyTorch says to the same."""
    with torch.no_grad():
        return model(**{name: value for name, value in given.items() if name in names}).logits.numpy()


def plan_of(model: PreTrainedModel, scheme: str = "dynamic", scale: float = 0.03) -> QuantizationConfig:
    """Everything quantised; static scales are all the same."""
    plan = plan_for(model, scheme, tables=True)
    return plan.with_scales(dict.fromkeys(plan.linears, scale)) if scheme == "static" else plan
