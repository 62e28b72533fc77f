import numpy as np
import pytest
import torch

from tasks.evaluate.predict import predict
from tasks.model.checkpoint import load_model, load_tokenizer
from tasks.model.text import Rows, read_split


def one_by_one(folder, rows, max_length):
    """Reference: transformers itself, a row at a time, so without any padding."""
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    answers = []
    for place, text in enumerate(rows.texts):
        pair = None if rows.pairs is None else rows.pairs[place]
        inputs = tokenizer(text, pair, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            answers.append(model(**inputs).logits[0].numpy())
    return np.stack(answers)


def answers(subject, rows, max_length, batch_size):
    return predict(subject, rows, max_length=max_length, batch_size=batch_size, providers=["cpu"], threads=1)


@pytest.mark.parametrize("runtime", ["pytorch", "onnxruntime"])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_answer_as_one_row_at_a_time_does_and_in_the_order_of_the_rows(
    tiny_subjects, tiny_folder, prepared_folder, runtime, batch_size
):
    rows = read_split(prepared_folder, "test")
    logits = answers(tiny_subjects[runtime], rows, 10, batch_size)
    assert logits.dtype == np.float32
    assert logits == pytest.approx(one_by_one(tiny_folder, rows, 10), abs=1e-5)  # measured here: 2e-7


def test_pairs_are_read_as_pairs(tiny_subjects, tiny_folder):
    rows = Rows(["good1 word2", "bad3"], ["word4", "word5 word6 good7"], np.array([0, 1]))
    logits = answers(tiny_subjects["pytorch"], rows, 16, 2)
    assert logits == pytest.approx(one_by_one(tiny_folder, rows, 16), abs=1e-5)
    alone = answers(tiny_subjects["pytorch"], Rows(rows.texts, None, rows.labels), 16, 2)
    assert np.abs(logits - alone).max() > 1e-4
