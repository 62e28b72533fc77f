"""Answers come in the order of the rows, whatever the batches, from each form of a model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hone.tasks import store
from hone.tasks.contracts import OnnxModel
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.runtime.model_under_test import ModelUnderTest
from hone.tasks.model.runtime.predict import Backend, Readings, answer, load_as, predict, read
from hone.tasks.model.runtime.runtime import SERVING
from hone.tasks.model.text import Rows, sequential_batches
from hone.tasks.model.training.fake_quantization import FakeQuantLinear, attach, read_plan
from tests.evaluate.exported_models import ROWS, subject_of, write_models


@pytest.fixture(scope="module")
def models() -> dict[str, OnnxModel]:
    return write_models()


def one_by_one(folder: Path, rows: Rows, max_length: int) -> np.ndarray:
    """Reference: transformers itself, a row at a time, so without any padding."""
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    answers = []
    for place, text in enumerate(rows.texts):
        pair = None if rows.pairs is None else rows.pairs[place]
        inputs = tokenizer(text, pair, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            answers.append(model(**inputs).logits[0].numpy())
    return np.stack(answers)


def answers(folder: Path, form: Backend, rows: Rows, max_length: int, batch_size: int) -> np.ndarray:
    reading = read(folder, rows, max_length)
    return answer(folder, form, reading, batch_size=batch_size, providers=["cpu"], threads=1)


@pytest.mark.parametrize("form", ["pytorch", "onnxruntime"])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_answer_as_one_row_at_a_time_does_and_in_the_order_of_the_rows(
    models: dict[str, OnnxModel], form: Backend, batch_size: int
) -> None:
    checkpoint = store.open_artifact(models["teacher"].source)
    folder = checkpoint if form == "pytorch" else store.open_artifact(models["teacher"].artifact)
    length = 10 if form == "pytorch" else json.loads((folder / SERVING).read_text())["max_length"]
    logits = answers(folder, form, ROWS, 10, batch_size)
    assert logits.dtype == np.float32
    assert logits == pytest.approx(one_by_one(checkpoint, ROWS, length), abs=1e-4)  # measured here: 2e-6


def test_a_subject_answers_in_its_runtime(models: dict[str, OnnxModel]) -> None:
    subject: ModelUnderTest = subject_of(models["quantized"])
    told = predict(subject, ROWS, max_length=16, batch_size=8, providers=["cpu"], threads=1)
    assert np.array_equal(told, answers(subject.folder, "onnxruntime", ROWS, 16, 8))


def test_pairs_are_read_as_pairs(models: dict[str, OnnxModel]) -> None:
    folder = store.open_artifact(models["teacher"].source)
    rows = Rows(["a funny film", "dull"], ["the cast", "a story of music"], np.array([0, 1]))
    logits = answers(folder, "pytorch", rows, 16, 2)
    assert logits == pytest.approx(one_by_one(folder, rows, 16), abs=1e-4)
    alone = answers(folder, "pytorch", Rows(rows.texts, None, rows.labels), 16, 2)
    assert np.abs(logits - alone).max() > 1e-3


def test_fake_quantised_is_the_checkpoint_with_the_roundings_of_its_plan(models: dict[str, OnnxModel]) -> None:
    folder = store.open_artifact(models["quantized"].source)
    assert any(isinstance(module, FakeQuantLinear) for module in load_as(folder, "fake-quantised").modules())
    assert not any(isinstance(module, FakeQuantLinear) for module in load_as(folder, "pytorch").modules())
    model, tokenizer = attach(load_model(folder), read_plan(folder)), load_tokenizer(folder)
    reading = read(folder, ROWS, 32)
    first = sequential_batches(reading.text.lengths, 8)[0]
    inputs = tokenizer([ROWS.texts[place] for place in first], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits.numpy()
    rounded = answers(folder, "fake-quantised", ROWS, 32, 8)
    assert rounded[first] == pytest.approx(expected, abs=1e-5)
    assert np.abs(rounded - answers(folder, "pytorch", ROWS, 32, 8)).max() > 1e-3


def test_models_that_read_alike_share_a_reading_and_no_others_do(models: dict[str, OnnxModel], tmp_path: Path) -> None:
    checkpoint, folder = store.open_artifact(models["teacher"].source), store.open_artifact(models["teacher"].artifact)
    readings = Readings(ROWS, 16)
    own = readings.of(checkpoint)
    assert np.array_equal(own.text.ids, read(checkpoint, ROWS, 16).text.ids)
    assert readings.of(store.open_artifact(models["quantized"].source)) is own  # another model, the same tokenizer
    exported = readings.of(folder)
    assert exported is not own
    assert readings.of(Path(shutil.copytree(folder, tmp_path / "copy"))) is exported
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    told = json.loads((other / SERVING).read_text())
    (other / SERVING).write_text(json.dumps({**told, "token_types": not told["token_types"]}))
    assert readings.of(other) is not exported
    padded = Path(shutil.copytree(checkpoint, tmp_path / "padded"))
    tokenizer = load_tokenizer(padded)
    tokenizer.pad_token = "the"
    tokenizer.save_pretrained(padded)
    assert readings.of(padded).pad_id == tokenizer.pad_token_id != own.pad_id
