"""A tiny classifier in PyTorch and the same one in ONNX, with a tokenizer of 60 words, and rows for it to read."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hone.tasks.export.tokenization import write_tokenization
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer, save_model
from hone.tasks.model.runtime.model_under_test import ModelUnderTest
from hone.tasks.model.runtime.runtime import TextSettings

GOOD, BAD = [f"good{i}" for i in range(12)], [f"bad{i}" for i in range(12)]
WORDS = GOOD + BAD + [f"word{i}" for i in range(30)]


def draw_rows(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Texts of 2 to 12 words whose label is told by one of them."""
    rng = np.random.default_rng(seed)
    labels = [int(label) for label in rng.integers(0, 2, count)]
    texts = []
    for label in labels:
        words = list(rng.choice(WORDS[24:], int(rng.integers(1, 12))))
        words.insert(int(rng.integers(0, len(words) + 1)), str(rng.choice(BAD if label == 0 else GOOD)))
        texts.append(" ".join(words))
    return texts, labels


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of 2 layers, width 32, as a checkpoint."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = Tokenizer(WordLevel({word: place for place, word in enumerate(specials + WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(7)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=58,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=64,
            id2label={0: "bad", 1: "good"},
            label2id={"bad": 0, "good": 1},
            attn_implementation="eager",
        )
    )
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    save_model(model.eval(), tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_onnx_folder(tiny_folder: Path) -> Path:
    """The same model as `model.onnx` beside its tokenizer and config."""
    folder = tiny_folder.parent / "onnx"
    shutil.copytree(tiny_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model = load_model(tiny_folder)
    ids = torch.ones(2, 8, dtype=torch.int64)
    dynamic = {0: "batch", 1: "length"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (ids, torch.ones_like(ids)),
            str(folder / "model.onnx"),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": dynamic, "attention_mask": dynamic, "logits": {0: "batch"}},
            dynamo=False,
        )
    write_tokenization(load_tokenizer(tiny_folder), folder, TextSettings(max_length=16))
    return folder


@pytest.fixture(scope="session")
def tiny_subjects(tiny_folder: Path, tiny_onnx_folder: Path) -> dict[str, ModelUnderTest]:
    """Both of them, by runtime."""

    def subject(name: str, runtime: str, folder: Path) -> ModelUnderTest:
        return ModelUnderTest(name, "train", runtime, "fp32", folder, digest="", size_bytes=1, parameters=1)  # type: ignore[arg-type]

    return {
        "pytorch": subject("teacher-pytorch", "pytorch", tiny_folder),
        "onnxruntime": subject("teacher", "onnxruntime", tiny_onnx_folder),
    }


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared splits: 200 rows to train on, 60 to test on."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    folder.mkdir()
    for seed, (split, count) in enumerate({"train": 200, "validation": 40, "test": 60}.items()):
        texts, labels = draw_rows(count, seed)
        columns = {
            "text": pa.array(texts, pa.string()),
            "pair": pa.array([None] * count, pa.string()),
            "label": pa.array(labels, pa.int32()),
        }
        parquet.write_table(pa.table(columns), folder / f"{split}.parquet")
    return folder
