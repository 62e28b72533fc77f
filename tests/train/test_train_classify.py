"""The teacher's trainable: its loss, its answers, and what it saves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.text import make_batch
from hone.tasks.train.supervised import SupervisedTrainable, make_trainable
from tests.model.training_fixtures import make_job


@pytest.fixture
def trainable(tmp_path: Path) -> SupervisedTrainable:
    return make_trainable(make_job(tmp_path, dropout=0.5), torch.device("cpu"))


def test_the_loss_is_cross_entropy_summed_over_rows(trainable: SupervisedTrainable) -> None:
    trainable.module.eval()
    batch = make_batch(trainable.train, np.arange(8), 0, "cpu")
    expected = nn.functional.cross_entropy(trainable.predict(batch).logits, batch["labels"], reduction="none")
    assert torch.allclose(trainable.module(batch)["loss"], expected.sum(), atol=1e-5)


def test_rows_of_other_lengths_do_not_change_a_rows_answer(trainable: SupervisedTrainable) -> None:
    together = trainable.predict(make_batch(trainable.train, np.arange(8), 0, "cpu")).logits
    rows = [make_batch(trainable.train, np.array([row]), 0, "cpu") for row in range(8)]
    alone = torch.cat([trainable.predict(row).logits for row in rows])
    assert torch.allclose(together, alone, atol=1e-5)  # measured: 6e-9


def test_predictions_have_no_dropout_and_no_gradients(trainable: SupervisedTrainable) -> None:
    trainable.module.train()
    batch = make_batch(trainable.train, np.arange(4), 0, "cpu")
    first, second = trainable.predict(batch).logits, trainable.predict(batch).logits
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert first.dtype == torch.float32


def test_it_saves_model_labels_and_tokenizer(trainable: SupervisedTrainable, tmp_path: Path) -> None:
    trainable.save(tmp_path / "saved")
    model = load_model(tmp_path / "saved")
    assert model.config.label2id == {"bad": 0, "good": 1}
    assert len(load_tokenizer(tmp_path / "saved")) == len(trainable.tokenizer)
    weights = trainable.module.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
