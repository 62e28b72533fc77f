"""Questions' contexts and true answers as numbers, as evidence lies on the disk: rows of several items each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hone.tasks.objectives.ragged import Ragged


@dataclass(frozen=True)
class Question:
    """What would have been right."""

    context: str
    spans: list[tuple[int, int]]
    """First character and end of each true answer in the context; empty where it has none."""

    @property
    def answers(self) -> list[str]:
        """The true answers."""
        return [self.context[start:end] for start, end in self.spans]


def pack(contexts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]) -> Ragged:
    """int64 [questions, items of each]: how many answers it has, where each begins and ends, and the code points of the
    context."""
    rows = [
        np.array([len(answers), *(offset for span in answers for offset in span), *map(ord, context)], np.int64)
        for context, answers in zip(contexts, spans, strict=True)
    ]
    return Ragged.of(rows, np.zeros(0, np.int64))


def unpack(targets: Ragged) -> Iterator[Question]:
    """What `pack` was given."""
    for row in targets:
        count = int(row[0])
        spans = row[1 : 1 + 2 * count].reshape(-1, 2).tolist()
        yield Question("".join(map(chr, row[1 + 2 * count :].tolist())), [(start, end) for start, end in spans])
