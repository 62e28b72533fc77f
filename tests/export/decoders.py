"""Exports of tiny decoders, made once: the exporter takes seconds for each."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hone.tasks.export.graph import export_onnx
from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from tests.export.conftest import Export
from tests.prune.decoders import tiny
from tests.tiny import write_encoder

KINDS = ("gemma3_text", "gpt2", "llama", "phi", "phi3")
"""Whose graphs hold something that the others' do not: norms of queries and two kinds of layers, weights that lie
transposed and a table of positions, grouped heads, biases, one matrix for several parts. Mistral, Qwen and the other
Gemmas are made of much the same, and each export takes many seconds."""
BOTH_KINDS_OF_LAYER = ("gemma2", "gemma3_text")
"""Of which one layer sees a window, and the next the whole text before a token."""


@cache
def export(kind: str) -> Export:
    """A family by model type, of one layer, or one of each kind."""
    with TemporaryDirectory() as folder:
        tokenizer = load_tokenizer(write_encoder(Path(folder) / "encoder"))
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    model = tiny(kind, layers=2 if kind in BOTH_KINDS_OF_LAYER else 1)
    return Export(kind, model, tokenizer, export_onnx(model, tokenizer, opset=18))
