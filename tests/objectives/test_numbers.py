"""A number for each text: how it is learned and judged, by hand and against scipy and scikit-learn."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import mean_squared_error, r2_score
from transformers import BertConfig, BertForSequenceClassification

from hone.configs.delivery import EvaluateSettings
from hone.tasks.model.text import Rows, TokenizedText
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.learning import learning
from hone.tasks.objectives.regression.metrics import spearman_parts

LEARNS, JUDGES = learning("regression"), judging("regression")
DRAW = np.random.default_rng(0)
TRUE = np.round(DRAW.normal(2.5, 1.5, 300) * 2) / 2
FOUND = (TRUE + DRAW.normal(size=300)).astype(np.float32)[:, None]


def answered(numbers: Any) -> Any:
    return SimpleNamespace(logits=torch.as_tensor(numbers))


def test_metrics_are_scikit_learns_and_scipys_with_equal_numbers_among_them() -> None:
    found = JUDGES.score(FOUND, TRUE, EvaluateSettings()).metrics
    assert found["mse"] == pytest.approx(mean_squared_error(TRUE, FOUND[:, 0].astype(np.float64)))
    assert found["spearman"] == pytest.approx(spearmanr(TRUE, FOUND[:, 0])[0], abs=1e-12)
    assert JUDGES.metrics["mse"].better == "lower"
    assert JUDGES.metrics["mse"].relative
    flat = JUDGES.score(np.ones_like(FOUND), TRUE, EvaluateSettings()).metrics
    assert flat["spearman"] == 0.0


def test_the_parts_of_rows_that_are_drawn_anew_spread_as_the_correlation_of_ranks_made_anew() -> None:
    one, other = TRUE, FOUND[:, 0].astype(np.float64)
    drawn = DRAW.integers(0, len(one), (600, len(one)))
    anew = np.array([spearmanr(one[rows], other[rows])[0] for rows in drawn])
    parts = spearman_parts(one, other)[drawn].mean(axis=1)
    assert np.corrcoef(anew, parts)[0, 1] > 0.98  # measured 0.989
    assert parts.std() / anew.std() == pytest.approx(1, abs=0.06)  # measured 0.98


def test_an_answer_that_is_no_number_is_ten_standard_deviations_off_and_told() -> None:
    broken = FOUND.copy()
    broken[3] = np.nan
    statistics = JUDGES.statistics(broken, TRUE)
    assert np.flatnonzero(JUDGES.unanswered(statistics)).tolist() == [3]
    assert statistics[3, 0] == pytest.approx(100 * TRUE.var())
    assert np.isfinite(statistics).all()
    assert JUDGES.score(broken, TRUE, EvaluateSettings()).metrics == {"nonfinite_rows": 1.0}


def test_validation_is_the_share_of_variance_explained_and_its_parts_add_up() -> None:
    labels = torch.from_numpy(TRUE).float()
    parts = [LEARNS.validation(answered(FOUND[rows]), {"labels": labels[rows]}) for rows in (slice(70), slice(70, 300))]
    found = LEARNS.validation_metrics((parts[0] + parts[1]).tolist())
    assert found["r2"] == pytest.approx(r2_score(TRUE, FOUND[:, 0]), abs=1e-6)
    assert found["loss"] == pytest.approx(mean_squared_error(TRUE, FOUND[:, 0]), abs=1e-6)
    assert LEARNS.config_chosen([1.0]) == {}


def test_the_loss_is_the_squared_error_and_a_row_without_a_number_has_none() -> None:
    numbers = torch.tensor([[1.5], [7.0], [0.0]], requires_grad=True)
    labels = torch.tensor([1.0, float("nan"), -2.0])
    loss = LEARNS.loss(answered(numbers), {"labels": labels})
    loss.sum().backward()
    assert loss.tolist() == [0.25, 0.0, 4.0]
    assert numbers.grad is not None
    assert numbers.grad[:, 0].tolist() == [1.0, 0.0, 4.0]
    assert LEARNS.labelled({"labels": labels}).tolist() == [True, False, True]
    assert LEARNS.distillation_loss(answered(numbers), torch.tensor([[1.0], [7.0], [3.0]]), {}, 4.0).tolist() == [
        0.25,
        0.0,
        9.0,
    ]


def test_a_new_head_begins_at_the_mean_of_training_and_one_that_has_learned_goes_on_where_it_is() -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=9,
                        num_labels=1, problem_type="regression")  # fmt: skip
    model = BertForSequenceClassification(config)
    text = TokenizedText(np.zeros(4, np.int32), np.arange(5), None, np.array([2000.0, 2010.0, np.nan, np.nan]))
    LEARNS.begin(model, text)
    assert model.classifier.bias.tolist() == [2005.0]
    LEARNS.begin(model, replace(text, labels=np.array([1.0, 1.0, 1.0, 1.0])))
    assert model.classifier.bias.tolist() == [2005.0]


def test_a_model_that_answers_all_rows_alike_is_told() -> None:
    labels = torch.tensor([1.0, 2.0, 4.0])
    alike = LEARNS.validation(answered([[2.3], [2.3], [2.301]]), {"labels": labels}).tolist()
    assert LEARNS.degenerate(alike, ["score"]) == "answers about 2.3 to all 3 validation rows"
    varied = LEARNS.validation(answered([[2.0], [2.3], [2.6]]), {"labels": labels}).tolist()
    assert LEARNS.degenerate(varied, ["score"]) == ""


def test_slices_are_the_low_the_middling_and_the_high_numbers() -> None:
    found = JUDGES.slices(np.array([0.0, 5.0, 1.0, 4.0, 2.0, 3.0]), ["score"])
    assert list(found) == ["score = 0–1", "score = 2–3", "score = 4–5"]
    assert [int(mask.sum()) for mask in found.values()] == [2, 2, 2]
    assert list(JUDGES.slices(np.array([1.0, 1.0, 2.0]), ["score"])) == ["score = 1–1", "score = 2–2"]


def test_forms_agree_where_numbers_are_within_a_quarter_of_the_true_ones_spread() -> None:
    moved = FOUND + np.float32(0.2)
    moved[:30] += np.float32(TRUE.std())
    found = JUDGES.compare(FOUND, moved, TRUE)
    assert found.agreement == pytest.approx(0.9)
    assert found.max_abs_difference == pytest.approx(0.2 + TRUE.std(), abs=1e-5)
    assert found.accuracy_difference > 0  # of an error, which has grown


def test_the_baseline_is_a_ridge_and_the_mean_where_no_term_helps() -> None:
    words = [f"{'good ' * (place % 3)}film number{place % 5}" for place in range(90)]
    numbers = np.array([float(place % 3) for place in range(90)])
    fitted = JUDGES.baseline(Rows(words, None, numbers), ["score"])
    assert np.abs(fitted.answers(Rows(words, None, numbers))[:, 0] - numbers).mean() < 0.3
    noise = Rows([f"w{place}" for place in range(90)], None, numbers)
    assert np.allclose(JUDGES.baseline(noise, ["score"]).answers(noise), numbers.mean())
