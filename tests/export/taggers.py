"""Tiny taggers of words with random weights, and sentences for them: some longer than the model reads at once."""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForTokenClassification

from hone.tasks.export.export import export_checkpoint
from hone.tasks.model.runtime.runtime import TextSettings
from hone.tasks.model.text import Rows
from tests.export.checkpoints import write_checkpoint
from tests.tiny import FILLER, write_encoder

LABELS = ["O", "B-person", "I-person", "B-place", "I-place"]
MAX_LENGTH = 16
TEXTS = TextSettings(max_length=MAX_LENGTH, task="token-classification")


def write_tagger(folder: Path, quantized: bool = False, seed: int = 0) -> Path:
    """A checkpoint with a token head; with its weights on their grids and the plan beside them where quantised."""
    torch.set_num_threads(1)
    write_encoder(folder, layers=2)
    torch.manual_seed(seed)
    names = dict(enumerate(LABELS))
    config = BertConfig.from_pretrained(folder, id2label=names, label2id={name: place for place, name in names.items()})
    model = BertForTokenClassification(config).eval()
    torch.nn.init.normal_(model.classifier.weight, std=0.4)  # answers that differ from word to word
    return write_checkpoint(folder, model, quantized)


def export_tagger(checkpoint: Path, folder: Path) -> Path:
    """As the stage exports it."""
    export_checkpoint("tagger", checkpoint, folder, opset=18, for_cpu=True, texts=TEXTS)
    return folder


def write_sentences(count: int, seed: int = 0, longest: int = 40) -> Rows:
    """Words of the tokenizer, words that it cuts into pieces, and one of which it makes nothing."""
    draw = np.random.default_rng(seed)
    known = [*FILLER, "brilliantly", "xyz", "dull", "\u200b"]
    tokens = [draw.choice(known, int(draw.integers(1, longest))).tolist() for _ in range(count)]
    tags = [draw.choice([0, 0, 1, 3], len(words)).astype(np.int64) for words in tokens]
    texts = [" ".join(words) for words in tokens]
    return Rows(texts, None, np.full(count, -1, np.int64), tokens=tokens, tags=tags)


def write_conll(path: Path, rows: Rows) -> Path:
    """The sentences as a file of words and tags, with a word that a reader of the file takes for one."""
    lines = [
        f"{word.strip(chr(0x200B)) or 'film'}\t{LABELS[tag]}" if place else ""
        for words, tags in zip(rows.tokens or [], rows.tags or [], strict=True)
        for place, (word, tag) in enumerate(zip(["", *words], [0, *tags], strict=True))
    ]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path
