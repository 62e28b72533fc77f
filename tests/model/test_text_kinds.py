"""Rows with several labels and with numbers on their way to the model: copies, files and batches."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hone.tasks.model.teacher.inference import with_copies, write_rows
from hone.tasks.model.text import Labels, Rows, TokenizedText, known, make_batch, read_split, unknown

FLAGS = np.array([[1, 0, 1], [0, 0, 0]], np.int64)
NUMBERS = np.array([-1.5, 0.0])


@pytest.mark.parametrize("labels", [np.array([0, 1]), FLAGS, NUMBERS])
def test_a_copy_has_no_label_and_what_lies_on_disk_comes_back(tmp_path: Path, labels: Labels) -> None:
    rows = with_copies(Rows(["one", "two"], None, labels), 2, 0, "[MASK]", {})
    assert rows.labelled.tolist() == [True, True, False, False, False, False]
    write_rows(rows, tmp_path / "train.parquet")
    back = read_split(tmp_path, "train").labels
    assert back.dtype == labels.dtype
    assert np.array_equal(back, rows.labels, equal_nan=bool(labels.dtype == np.float64))


def test_a_number_below_zero_is_a_label_and_a_text_without_any_is_labelled() -> None:
    assert known(NUMBERS).tolist() == [True, True]
    assert known(FLAGS).tolist() == [True, True]
    assert known(unknown(FLAGS, 2)).tolist() == known(unknown(NUMBERS, 2)).tolist() == [False, False]


@pytest.mark.parametrize(
    ("labels", "kind", "shape"),
    [(np.array([3, 1]), torch.int64, (2,)), (FLAGS, torch.int64, (2, 3)), (NUMBERS, torch.float32, (2,))],
)
def test_a_batch_has_whole_numbers_but_for_numbers(labels: Labels, kind: torch.dtype, shape: tuple[int, ...]) -> None:
    text = TokenizedText(np.arange(5, dtype=np.int32), np.array([0, 2, 5]), None, labels)
    batch = make_batch(text, np.array([1, 0]), 0, "cpu")
    assert (batch["labels"].dtype, tuple(batch["labels"].shape)) == (kind, shape)
    assert batch["labels"].tolist() == labels[::-1].tolist()
    assert batch["input_ids"].dtype == torch.int64
