"""A tiny exported model, its golden requests, and a tiny decoder that is exported once for all who ask it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hone.configs.model import ModelSettings
from hone.tasks.export.export import export_checkpoint
from hone.tasks.model.checkpoints.checkpoint import load_pretrained, save_model
from hone.tasks.model.runtime.delivered import open_generator
from hone.tasks.model.runtime.runtime import TextSettings
from hone.tasks.objectives.text_generation.generating import Generator
from tests.objectives.chats import TEMPLATE
from tests.objectives.documents import LENGTH, write_decoder
from tests.register.conftest import model_folder, write_model, write_requests

__all__ = ["model_folder"]


@pytest.fixture
def golden(model_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the golden requests of the tiny model: five of them, the last one empty."""

    def write(pairs: bool = False) -> Path:
        write_model(model_folder, pairs=pairs)
        return write_requests(tmp_path / "golden.json", model_folder, [0, 2, 4, 5, 7], pairs)

    return write


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder with a chat template. Its weights are drawn, from a wider range than usual, so that it is sure of its
    choices."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("writer")
    source = write_decoder(place / "decoder", layers=1, template=TEMPLATE)
    settings = ModelSettings(source=str(source), max_length=LENGTH)
    model, tokenizer = load_pretrained(settings, ["document"], 0, "text-generation")
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(25)
    save_model(model, tokenizer, place / "checkpoint")
    return place / "checkpoint"


@pytest.fixture(scope="session")
def folder(checkpoint: Path) -> Path:
    """The same, exported."""
    texts = TextSettings(max_length=LENGTH, task="text-generation", text_column="messages")
    place = checkpoint.with_name("model")
    export_checkpoint("decoder", checkpoint, place, opset=18, for_cpu=True, texts=texts)
    return place


@pytest.fixture(scope="session")
def generator(folder: Path) -> Generator:
    return open_generator(folder)
