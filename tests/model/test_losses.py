"""The losses by hand and against torch."""

import math

import pytest
import torch
import torch.nn.functional as F

from hone.tasks.model.training.losses import hidden_loss, mix, relation_heads, relation_loss

ONES = torch.ones(2, 3, dtype=torch.int64)


def test_mix_weighs_labelled_rows_by_alpha_and_gives_unlabelled_ones_to_the_teacher():
    hard, soft = torch.tensor([10.0, 0.0]), torch.tensor([1.0, 1.0])
    assert mix(hard, soft, torch.tensor([True, False]), 0.25).tolist() == [0.25 * 10 + 0.75, 1.0]


def test_hidden_loss_by_hand_leaves_padding_out():
    hidden = torch.tensor([[[1.0, 3.0], [0.0, 0.0], [99.0, 99.0]]])
    teacher = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [50.0, 0.0]]])
    mask = torch.tensor([[1, 1, 0]])
    # Errors 0 + 4 and 4 + 4, teacher's own size 1 + 1 and 4 + 4.
    assert hidden_loss(hidden, teacher, mask).item() == pytest.approx(12 / 10)


def test_hidden_loss_of_one_row_is_torchs_squared_error_over_the_teachers_mean_square():
    torch.manual_seed(0)
    hidden, teacher = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    assert torch.allclose(
        hidden_loss(hidden, teacher, ONES[:1])[0], F.mse_loss(hidden, teacher) / teacher.square().mean()
    )


def test_hidden_loss_does_not_depend_on_the_scale_of_the_encoder():
    torch.manual_seed(0)
    hidden, teacher = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    assert torch.allclose(hidden_loss(hidden, teacher, ONES), hidden_loss(7 * hidden, 7 * teacher, ONES))


def test_relation_loss_by_hand():
    # One head, width 1. Student vectors 0: relations uniform. Teacher vectors (1, 0): scores [[1, 0], [0, 0]].
    student, teacher = torch.zeros(1, 2, 1), torch.tensor([[[1.0], [0.0]]])
    p = math.e / (math.e + 1)
    first_row = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    found = relation_loss(student, teacher, torch.ones(1, 2), 1).item()
    assert found == pytest.approx(first_row / 2, abs=1e-6)  # the second row agrees, and the mean is over both


def test_relation_loss_with_the_models_own_heads_is_the_divergence_of_attention_like_maps():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    total = torch.zeros(2)
    for head in range(4):
        a, b = student[..., 2 * head : 2 * head + 2], teacher[..., 2 * head : 2 * head + 2]
        p = torch.softmax(a @ a.mT / 2**0.5, -1)
        q = torch.softmax(b @ b.mT / 2**0.5, -1)
        total += (q * (q / p).log()).sum(-1).mean(-1) / 4
    assert torch.allclose(relation_loss(student, teacher, ONES, 4), total, atol=1e-6)


def test_relation_loss_does_not_see_padding():
    torch.manual_seed(0)
    student, teacher = torch.randn(1, 5, 8), torch.randn(1, 5, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    short = relation_loss(student[:, :3], teacher[:, :3], mask[:, :3], 2)
    assert torch.allclose(relation_loss(student, teacher, mask, 2), short, atol=1e-6)


def test_relation_loss_takes_students_of_another_width():
    torch.manual_seed(0)
    vectors = torch.randn(2, 3, 6)
    assert torch.allclose(relation_loss(vectors, vectors, ONES, 3), torch.zeros(2), atol=1e-6)
    assert relation_loss(torch.randn(2, 3, 6), torch.randn(2, 3, 12), ONES, 6).min() > 0


@pytest.mark.parametrize(
    ("width", "teacher_width", "teacher_heads", "expected"),
    [(384, 384, 12, 12), (192, 384, 12, 12), (160, 384, 12, 8), (7, 12, 12, 1)],
)
def test_relation_heads_divide_both_widths_and_are_at_most_the_teachers(width, teacher_width, teacher_heads, expected):
    assert relation_heads(width, teacher_width, teacher_heads) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_are_fp32_whatever_comes_in(dtype):
    x, mask = torch.randn(2, 3, 4).to(dtype), torch.ones(2, 3)
    found = [
        hidden_loss(x, x + 1, mask),
        relation_loss(x, x + 1, mask, 2),
    ]
    assert {loss.dtype for loss in found} == {torch.float32}
    assert {loss.shape for loss in found} == {torch.Size([2])}
