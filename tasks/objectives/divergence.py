"""How far one distribution over labels, or over a vocabulary, is from another."""

import torch
import torch.nn.functional as F
from torch import Tensor


def softened_divergence(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)) over the last axis: [...] for logits [..., labels]; fp32,
    or fp64 where the student's are.

    The factor T^2 undoes the 1/T^2 by which softening shrinks the gradient, so that `alpha` weighs the same at every T.

    Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 2.
    """
    precision = torch.float64 if logits.dtype == torch.float64 else torch.float32
    student = F.log_softmax(logits.to(precision) / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.to(precision) / temperature, dim=-1)
    return temperature**2 * F.kl_div(student, teacher, log_target=True, reduction="none").sum(dim=-1)
