"""A tiny teacher, prepared data and what the teacher says about it, for the tests of all that learn from one."""

from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import torch

from hone.configs.model import DistillSettings, ModelSettings
from hone.tasks import store
from hone.tasks.contracts import Artifact
from hone.tasks.model.checkpoints.checkpoint import load_pretrained, save_model
from hone.tasks.model.teacher.outputs import prepare
from tests.tiny import sentences, write_encoder


def write_data(folder: Path, train: int = 40, validation: int = 20) -> Path:
    """Prepared data of tiny sentences."""
    folder.mkdir(parents=True)
    found = sentences(train + validation, seed=5)
    for split, rows in (("train", found[:train]), ("validation", found[train:])):
        table = arrow.table(
            {
                "text": arrow.array([text for text, _ in rows], arrow.string()),
                "pair": arrow.array([None] * len(rows), arrow.string()),
                "label": arrow.array([int(label == "good") for _, label in rows], arrow.int32()),
            }
        )
        parquet.write_table(table, folder / f"{split}.parquet")
    return folder


def write_teacher(folder: Path, seed: int = 0, **shape: int) -> Path:
    """A random encoder with a head for two labels, with weights large enough to tell sentences apart."""
    encoder = write_encoder(folder.with_name(f"{folder.name}-encoder"), **shape)
    settings = ModelSettings(source=str(encoder), weights="random", max_length=32)
    model, tokenizer = load_pretrained(settings, ["bad", "good"], seed, task="text-classification")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    save_model(model, tokenizer, folder)
    return folder


def artifact(folder: Path) -> Artifact:
    """The folder as an artifact."""
    return store.describe(folder, [])


def ask_teacher(storage: Path, teacher: Path, data: Path, loss: DistillSettings, layers: list[int]) -> Path:
    """What the teacher says, in fp32 and up to 32 tokens."""
    return prepare(
        storage,
        teacher=artifact(teacher),
        data=artifact(data),
        loss=loss,
        layers=layers,
        max_length=32,
        seed=0,
        owner="demo",
        on_progress=lambda done, total, note: None,
        task="text-classification",
    )
