"""Entities counted in tensors, while a model learns: the counts are those of `counts.entity_counts`.

Tags are numbers as `tags.tag_names` orders them: 0 is O, and of type t, counted from 0, `B-` is 1 + 2t and `I-` 2 + 2t.
"""

import torch
from torch import Tensor


def count_entities(rows: Tensor, true: Tensor, predicted: Tensor, count: int, types: int) -> Tensor:
    """Entities of each row [count, 3, types] int64: true ones of each type, predicted ones, and correct ones.

    Args:
        rows: the row that each word is of [words], in rising order.
        true: tags of the words [words].
        predicted: likewise; a stray `I-` counts for nothing.
        count: of the rows.
    """
    counts = torch.zeros(count, 3, types, dtype=torch.int64, device=rows.device)
    if not len(rows):
        return counts
    begin, ends = _entities(rows, true)
    begin_predicted, ends_predicted = _entities(rows, predicted)
    correct = begin & begin_predicted & (true == predicted) & (ends == ends_predicted)
    for side, (starts, tags) in enumerate(((begin, true), (begin_predicted, predicted), (correct, true))):
        indices = starts.nonzero()[:, 0]
        ones = torch.ones_like(indices)
        counts[:, side].index_put_((rows[indices], (tags[indices] - 1) // 2), ones, accumulate=True)
    return counts


def _entities(rows: Tensor, tags: Tensor) -> tuple[Tensor, Tensor]:
    """Whether an entity begins at each word [words] bool, and for a word that begins a run of one type, the place
    behind the run's last one [words]: an `I-` goes on from any tag of its type in its row."""
    kinds, inside = (tags + 1) // 2, (tags > 0) & (tags % 2 == 0)
    goes_on = torch.zeros_like(inside)
    goes_on[1:] = inside[1:] & (kinds[1:] == kinds[:-1]) & (rows[1:] == rows[:-1])
    starts = (~goes_on).nonzero()[:, 0]
    ends = torch.zeros_like(rows)
    ends[starts] = torch.cat([starts[1:], starts.new_tensor([len(rows)])])
    return tags % 2 == 1, ends
