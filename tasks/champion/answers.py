"""The champion's answers, in this run's labels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.label_value import one_spelling
from tasks.model.predict import predict
from tasks.model.subject import registered
from tasks.model.text import Rows

UNKNOWN = -60.0
"""Logit of a label that the champion has never heard of."""


def answer(
    folder: Path,
    rows: Rows,
    labels: Sequence[str],
    *,
    max_length: int,
    batch_size: int,
    providers: Sequence[str],
    threads: int,
) -> npt.NDArray[np.float32]:
    """Logits [rows, labels] of the exported model in `folder`, its labels matched to this run's by their names.

    A label that is new to it is never its answer; one that this run does not have any more is left out.
    """
    own = predict(
        registered(folder), rows, max_length=max_length, batch_size=batch_size, providers=providers, threads=threads
    )
    names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    place = {one_spelling(names[str(label)]): label for label in range(len(names))}
    matched = np.full((len(rows), len(labels)), UNKNOWN, dtype=np.float32)
    for label, name in enumerate(labels):
        if one_spelling(name) in place:
            matched[:, label] = own[:, place[one_spelling(name)]]
    return matched
