"""The teacher's learner: its loss, its answers, and what it saves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hone.tasks.model.checkpoint import load_model, load_tokenizer
from hone.tasks.model.text import make_batch
from hone.tasks.train.classify import ClassificationLearner, make_learner
from tests.model.training_fixtures import make_job


@pytest.fixture
def learner(tmp_path: Path) -> ClassificationLearner:
    return make_learner(make_job(tmp_path, dropout=0.5), torch.device("cpu"))


def test_the_loss_is_cross_entropy_summed_over_rows(learner: ClassificationLearner) -> None:
    learner.module.eval()
    batch = make_batch(learner.train, np.arange(8), 0, "cpu")
    expected = nn.functional.cross_entropy(learner.predict(batch).logits, batch["labels"], reduction="none")
    assert torch.allclose(learner.module(batch)["loss"], expected.sum(), atol=1e-5)


def test_rows_of_other_lengths_do_not_change_a_rows_answer(learner: ClassificationLearner) -> None:
    together = learner.predict(make_batch(learner.train, np.arange(8), 0, "cpu")).logits
    rows = [make_batch(learner.train, np.array([row]), 0, "cpu") for row in range(8)]
    alone = torch.cat([learner.predict(row).logits for row in rows])
    assert torch.allclose(together, alone, atol=1e-5)  # measured: 6e-9


def test_predictions_have_no_dropout_and_no_gradients(learner: ClassificationLearner) -> None:
    learner.module.train()
    batch = make_batch(learner.train, np.arange(4), 0, "cpu")
    first, second = learner.predict(batch).logits, learner.predict(batch).logits
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert first.dtype == torch.float32


def test_it_saves_model_labels_and_tokenizer(learner: ClassificationLearner, tmp_path: Path) -> None:
    learner.save(tmp_path / "saved")
    model = load_model(tmp_path / "saved")
    assert model.config.label2id == {"bad": 0, "good": 1}
    assert len(load_tokenizer(tmp_path / "saved")) == len(learner.tokenizer)
    weights = learner.module.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
