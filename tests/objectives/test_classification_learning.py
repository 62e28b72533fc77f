"""How a classifier learns, by hand and against torch; and that the stages that learn ask for it."""

import math
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig

from hone.configs.recipe import Objective
from hone.tasks.contracts import Artifact, Checkpoint
from hone.tasks.model.training.trainable import validation_fields
from hone.tasks.objectives.divergence import softened_divergence
from hone.tasks.objectives.learning import LEARNING, learning, learning_of

CLASSES = learning("text-classification")


def test_every_task_of_a_recipe_has_a_folder_and_says_how_it_is_learned() -> None:
    assert set(LEARNING) == set(get_args(Objective))
    for name, objective in LEARNING.items():
        assert objective.name == name
        assert type(objective).__module__ == f"hone.tasks.objectives.{name.replace('-', '_')}.learning"


@pytest.mark.parametrize("heads", [None, [], ["BertModel"], ["BertForSequenceClassification"]])
def test_a_config_that_names_no_other_head_is_a_text_classifiers(heads: list[str] | None) -> None:
    assert learning_of(BertConfig(architectures=heads)) is CLASSES


def test_the_loss_is_minus_the_log_of_the_labels_probability() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    batch = {"labels": torch.tensor([0, 1])}
    found = CLASSES.loss(SimpleNamespace(logits=logits), batch)
    assert found.tolist() == pytest.approx([-math.log(3 / 4), -math.log(1 / 2)])
    assert CLASSES.row_scores(SimpleNamespace(logits=logits), batch).tolist() == [1.0, 0.0]


def test_a_row_without_label_has_no_loss_and_no_gradient() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    batch = {"labels": torch.tensor([-1, 2])}
    loss = CLASSES.loss(SimpleNamespace(logits=logits), batch)
    loss.sum().backward()
    assert CLASSES.labelled(batch).tolist() == [False, True]
    assert loss[0] == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad[0], torch.zeros(3))


def test_validation_by_hand_and_its_sums_over_batches_add_up() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.5], [-1.0, 1.0]]), torch.tensor([0, 0, 1])
    whole = CLASSES.validation(SimpleNamespace(logits=logits), {"labels": labels})
    parts = [
        CLASSES.validation(SimpleNamespace(logits=logits[rows]), {"labels": labels[rows]})
        for rows in (slice(0, 2), slice(2, 3))
    ]
    assert torch.allclose(whole, parts[0] + parts[1], atol=1e-12, rtol=0)
    found = CLASSES.validation_metrics(whole.tolist())
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["loss"] == pytest.approx(F.cross_entropy(logits.double(), labels).item(), abs=1e-12)
    assert CLASSES.degenerate(whole.tolist(), ["a", "b"]) == ""


def test_of_one_row_nothing_is_said_and_of_several_alike_it_is() -> None:
    assert CLASSES.degenerate([0.1, 1.0, 1.0, 0.0, 1.0], ["a", "b"]) == ""
    assert CLASSES.degenerate([0.1, 1.0, 1200.0, 0.0, 1200.0], ["a", "b"]) == (
        "predicts 'b' for all 1,200 validation rows"
    )


def test_a_checkpoint_is_told_by_the_metric_that_it_was_chosen_by() -> None:
    artifact = Artifact(uri="file:///x", digest="sha256:0", size_bytes=1)
    counted = {"artifact": artifact, "parameters": 2_000_000, "nonzero_parameters": 1}
    plain = Checkpoint(**counted, **validation_fields("text-classification", {"accuracy": 0.875, "loss": 0.4}))
    assert (plain.validation_accuracy, plain.validation_loss, plain.validation_metrics) == (0.875, 0.4, {})
    assert plain.headline() == "0.8750 on validation, 2.00 M parameters"
    other = Checkpoint(
        **counted, validation_loss=0.4, validation_metrics={"entity_f1": 0.5}, selected_by="entity_f1", warnings=["odd"]
    )
    assert other.score == 0.5
    assert other.headline() == "entity f1 0.5000 on validation, 2.00 M parameters; odd"
    assert Checkpoint.model_validate(other.model_dump(mode="json")) == other


def test_softened_divergence_by_hand() -> None:
    # Teacher (3/4, 1/4), student (1/2, 1/2): KL = 3/4 log(3/2) + 1/4 log(1/2).
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    by_hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert softened_divergence(student, teacher, 1.0).item() == pytest.approx(by_hand, abs=1e-6)
    # The same distributions at T = 2 come from logits twice as large, and T^2 = 4 multiplies the loss.
    assert softened_divergence(2 * student, 2 * teacher, 2.0).item() == pytest.approx(4 * by_hand, abs=1e-6)


def test_softened_divergence_is_torchs_kl_divergence() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(7, 5), torch.randn(7, 5)
    reference = F.kl_div(F.log_softmax(student / 3, -1), F.softmax(teacher / 3, -1), reduction="batchmean") * 9
    assert torch.allclose(softened_divergence(student, teacher, 3.0).mean(), reference, atol=1e-6)


def test_softened_divergence_is_zero_exactly_where_the_student_agrees_up_to_a_constant() -> None:
    teacher = torch.randn(4, 3)
    assert softened_divergence(teacher + 5, teacher, 4.0).abs().max() < 1e-5


def test_temperature_squared_keeps_the_gradient_of_one_size() -> None:
    """At high T the gradient tends to (z_student - z_teacher) / labels, whatever T is (Hinton 2015, equation 4)."""
    teacher = torch.tensor([[1.0, -1.0, 0.0]])
    student = torch.zeros(1, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(softened_divergence(student, teacher, 1000.0).sum(), student)
    assert torch.allclose(gradient, -teacher / 3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_are_fp32_whatever_comes_in(dtype: torch.dtype) -> None:
    output, batch = SimpleNamespace(logits=torch.randn(2, 4).to(dtype)), {"labels": torch.tensor([0, 1])}
    found = [CLASSES.loss(output, batch), CLASSES.distillation_loss(output, torch.randn(2, 4), batch, 2.0)]
    assert [loss.dtype for loss in found] == [torch.float32] * 2
    assert CLASSES.targets(output, batch).dtype == torch.float32
