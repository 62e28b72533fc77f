"""An exported tagger of words made by hand, without training and without torch: each word has its own logits."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hone.tasks import words
from hone.tasks.model.runtime import runtime
from hone.tasks.model.runtime.runtime import SERVING, TextSettings
from hone.tasks.objectives.token_classification import windows
from hone.tasks.objectives.token_classification.spans import Tagger

LABELS = ["O", "B-person", "I-person", "B-place", "I-place"]
LOGITS = {
    "[PAD]": [9, 0, 0, 0, 0], "[UNK]": [2, 0, 0, 0, 0], "[CLS]": [0, 0, 0, 9, 0], "[SEP]": [0, 0, 0, 9, 0],
    "Ann": [0, 3, 0, 0, 0], "Lee": [0, 0, 2, 0, 0], "left": [4, 0, 0, 0, 0], "Rome": [0, 0, 0, 5, 0],
    ".": [3, 0, 0, 0, 0], "maybe": [1, 0.9999, 0, 0, 0],
}  # fmt: skip


def write_served_tagger(folder: Path, seed: int = 0, max_length: int = 8) -> Path:
    """logits = table[input_ids]; another seed knows other things."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(LOGITS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(pad_id=0)
    tokenizer.enable_truncation(max_length)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = TextSettings(max_length=max_length, task="token-classification")
    (folder / SERVING).write_text(json.dumps(asdict(settings)))
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    table = np.array(list(LOGITS.values()), np.float32)
    if seed:
        np.random.default_rng(seed).shuffle(table)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["logits"])],
        "tiny",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", len(LABELS)])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    return folder


def tagger(folder: Path) -> Tagger:
    """As it is opened where Hone is there."""
    return Tagger(folder, runtime=runtime, windows=windows, words=words)
