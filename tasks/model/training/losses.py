"""What a student is taught by beside its task's own losses (see `objectives.learning`): hidden states and attention
relations, and how the labels' loss and the teacher's are mixed.

Every function returns one number per row, [batch] fp32, so that a step's loss is a plain sum over its rows, however
they are shared out over workers and micro-batches. Inputs of any float dtype are computed on in fp32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def mix(hard: Tensor, soft: Tensor, labelled: Tensor, alpha: float) -> Tensor:
    """alpha * hard + (1 - alpha) * soft, and `soft` alone where there is no label.

    Args:
        labelled: which rows have one, [batch] bool.
    """
    weight = torch.where(labelled, alpha, 0.0)
    return weight * hard + (1 - weight) * soft


def hidden_loss(hidden: Tensor, teacher_hidden: Tensor, mask: Tensor) -> Tensor:
    """Squared error between hidden states as a share of the teacher's own squared size, over each row's tokens and the
    width; padding counts for nothing. As a share, the loss weighs the same for every encoder, whatever its scale.

    Args:
        hidden, teacher_hidden: [batch, length, width].
        mask: [batch, length], 1 for a token and 0 for padding.

    Source: Jiao et al. 2020 (TinyBERT), arXiv:1909.10351, equation 8.
    """
    mask = mask.float()
    error = (hidden.float() - teacher_hidden.float()).square().sum(dim=-1)
    size = teacher_hidden.float().square().sum(dim=-1)
    return (error * mask).sum(dim=1) / (size * mask).sum(dim=1).clamp(min=1e-12)


def relation_loss(vectors: Tensor, teacher_vectors: Tensor, mask: Tensor, relation_heads: int) -> Tensor:
    """KL(teacher || student) between the attention relations softmax(A A^T / sqrt(d)), mean over heads and tokens.

    A holds the vectors of one kind (queries, keys or values) of all heads side by side, cut anew into `relation_heads`
    pieces of width d. So teacher and student may differ in heads and in width: a relation is [length, length] for both.

    Args:
        vectors: [batch, length, width].
        teacher_vectors: [batch, length, teacher width].
        mask: [batch, length], 1 for a token and 0 for padding: neither relates nor is related to.
        relation_heads: divides both widths.

    Source: Wang et al. 2021 (MiniLMv2), arXiv:2012.15828, section 3; values alone: Wang et al. 2020, arXiv:2002.10957.
    """
    student = _log_relations(vectors, mask, relation_heads)
    teacher = _log_relations(teacher_vectors, mask, relation_heads)
    # Both are a large negative number at masked keys, where the teacher's probability is exactly 0.
    divergence = F.kl_div(student, teacher, log_target=True, reduction="none").sum(dim=-1).mean(dim=1)
    mask = mask.float()
    return (divergence * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def relation_heads(width: int, teacher_width: int, teacher_heads: int) -> int:
    """The most relation heads, up to the teacher's own, that divide both widths: a pruned student's is another."""
    return max(count for count in range(1, teacher_heads + 1) if width % count == 0 and teacher_width % count == 0)


def _log_relations(vectors: Tensor, mask: Tensor, heads: int) -> Tensor:
    """[batch, heads, length, length] log-probabilities over the keys."""
    batch, length, width = vectors.shape
    pieces = vectors.float().view(batch, length, heads, width // heads).transpose(1, 2)
    scores = pieces @ pieces.transpose(2, 3) / (width // heads) ** 0.5
    return F.log_softmax(scores.masked_fill(mask[:, None, None, :] == 0, -1e9), dim=-1)
