"""Tiny models that answer questions, with random weights, and questions whose contexts are longer than a window."""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForQuestionAnswering

from hone.tasks.export.export import export_checkpoint
from hone.tasks.model.runtime.runtime import TextSettings
from hone.tasks.model.text import Rows
from hone.tasks.objectives.learning import learning
from tests.export.checkpoints import write_checkpoint
from tests.tiny import FILLER, write_encoder

LABELS = ["answer", "no answer"]
MAX_LENGTH = 24
TEXTS = TextSettings(
    max_length=MAX_LENGTH, pairs=True, task="question-answering", text_column="question", pair_column="context"
)


def write_answerer(folder: Path, quantized: bool = False, seed: int = 0, threshold: float = 0.5) -> Path:
    """A checkpoint with a head for questions; with its weights on their grids and the plan beside them where
    quantised."""
    torch.set_num_threads(1)
    write_encoder(folder, layers=1)
    torch.manual_seed(seed)
    fields = learning("question-answering").config_labels(LABELS) | {"no_answer_threshold": threshold}
    config = BertConfig.from_pretrained(folder)
    for name, value in fields.items():
        setattr(config, name, value)
    model = BertForQuestionAnswering(config).eval()
    torch.nn.init.normal_(model.qa_outputs.weight, std=0.4)  # answers that differ from question to question
    return write_checkpoint(folder, model, quantized)


def export_answerer(checkpoint: Path, folder: Path) -> Path:
    """As the stage exports it."""
    export_checkpoint("answerer", checkpoint, folder, opset=18, for_cpu=True, texts=TEXTS)
    return folder


def write_questions(count: int, seed: int = 0, longest: int = 60) -> Rows:
    """Words of the tokenizer and words that it cuts into pieces; every third question has no answer."""
    draw = np.random.default_rng(seed)
    known = [*FILLER, "brilliantly", "xyz", "dull"]
    contexts = [" ".join(draw.choice(known, int(draw.integers(3, longest)))) for _ in range(count)]
    asked = [" ".join(draw.choice(known, int(draw.integers(1, 6)))) for _ in range(count)]
    spans = [[(0, context.index(" "))] if place % 3 else [] for place, context in enumerate(contexts)]
    labels = np.array([0 if several else 1 for several in spans])
    return Rows(asked, contexts, labels, spans=spans)
