"""What every number of the evaluation can be computed from again: answers and single timings, not only their averages.

labels.npy            int64 [rows]: the true labels of the test split; of texts with several labels [rows, labels], 1
                      where the text has it; numbers fp64 [rows]; of sentences [words], the true tags; of questions
                      their true answers and contexts, as `question_answering.targets` packs them; of documents their
                      bytes and what the teacher would write, as `text_generation.targets` has them
label_offsets.npy     int64 [rows + 1]: where those of each question, or document, end
logits/NAME.npy       float32 [rows, labels]: what a candidate answered, rows as in the split; NAME+typos and the like
                      for texts that were perturbed; NAME+alone one text at a time, not evaluate.batch_size together;
                      of texts with several labels less the logit of the model's threshold, so that a label is given
                      above 0; numbers [rows, 1]; of sentences [words, labels]; of questions a span and its scores
                      [questions, numbers]; of documents numbers of each token [tokens, numbers]
logits/NAME.offsets.npy  int64 [rows + 1]: where the tokens of each document end, as this model cuts it
offsets.npy           int64 [rows + 1]: where the words of each sentence end; absent where a row has one answer
rows.npy              int64: places in the split of the rows that were answered; absent where all of them were
timings.json          {NAME: [one object for each round: providers, load_seconds, peak_memory_bytes,
                      milliseconds: every sample, by cell in the order of evaluate.cells]}, each cell as what suits the
                      model there ran it; NAME+one thread with one thread
forms.json            what every hand-off from one form to the next changed, and whether the model serves
golden.json           requests with the answers that the selected model has to give wherever it is loaded

Sentences are answered by word and not by token: words are what has a true tag, and all models have the same ones,
whatever tokenizer each reads with, so one offsets.npy serves every file. Flat files need no padding and no pickle.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.judging import Answers, Targets
from hone.tasks.objectives.ragged import ByToken, Ragged, numbers

GOLDEN = "golden.json"
OFFSETS = "offsets.npy"
LABEL_OFFSETS = "label_offsets.npy"
ONE_THREAD = "one thread"
ALONE = "alone"
"""Where activations are quantised with one scale for a whole batch, an answer depends on its neighbours there."""


def save(
    folder: Path,
    labels: Targets,
    logits: Mapping[str, Answers],
    timings: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes the evidence into a new folder. The .npy files hold numbers only and are read with allow_pickle=False."""
    folder.mkdir(parents=True, exist_ok=True)
    true = numbers(labels)
    kind = np.float64 if np.issubdtype(true.dtype, np.floating) else np.int64
    np.save(folder / "labels.npy", true.astype(kind), allow_pickle=False)
    if isinstance(labels, Ragged):  # what is right may be of several items where the answer is one, or of others
        one = any(not isinstance(answered, Ragged) or isinstance(answered, ByToken) for answered in logits.values())
        np.save(folder / (LABEL_OFFSETS if one else OFFSETS), labels.offsets, allow_pickle=False)
    save_logits(folder, logits)
    (folder / "timings.json").write_text(json.dumps(timings), encoding="utf-8")


def save_logits(folder: Path, logits: Mapping[str, Answers]) -> None:
    """Writes `logits/NAME.npy` for each, and where the words of each sentence end.

    Raises:
        ValueError: when models answered sentences of other words than those that lie there.
    """
    (folder / "logits").mkdir(parents=True, exist_ok=True)
    for name, answered in logits.items():
        if isinstance(answered, ByToken):
            np.save(folder / "logits" / f"{name}.{OFFSETS}", answered.offsets, allow_pickle=False)
        elif isinstance(answered, Ragged):
            offsets = _offsets(folder)
            if offsets is not None and not np.array_equal(offsets, answered.offsets):
                raise ValueError(f"{name} answers sentences of other words than {folder / OFFSETS} has")
            np.save(folder / OFFSETS, answered.offsets, allow_pickle=False)
        np.save(folder / "logits" / f"{name}.npy", numbers(answered).astype(np.float32), allow_pickle=False)


def save_rows(folder: Path, indices: Sequence[int]) -> None:
    """Writes which rows of the split were answered."""
    np.save(folder / "rows.npy", np.array(indices, dtype=np.int64), allow_pickle=False)


def read_rows(folder: Path, rows: int) -> npt.NDArray[np.int64]:
    """Places of those that were answered among the split's `rows` rows."""
    file = folder / "rows.npy"
    return np.load(file, allow_pickle=False) if file.is_file() else np.arange(rows)


def read_labels(folder: Path) -> Targets:
    """True labels [rows], flags of several [rows, labels], numbers [rows], the tags of sentences [rows, words of each],
    or the answers to questions with their contexts."""
    values = np.load(folder / "labels.npy", allow_pickle=False)
    own = folder / LABEL_OFFSETS
    return Ragged(values, np.load(own, allow_pickle=False)) if own.is_file() else _in_rows(folder, values)


def read_logits(folder: Path, name: str) -> Answers | None:
    """What a candidate answered [rows, labels], of sentences [rows, words of each, labels], or of documents [rows,
    tokens of each, numbers]; None where it was not asked."""
    file = folder / "logits" / f"{name}.npy"
    if not file.is_file():
        return None
    values, own = np.load(file, allow_pickle=False), folder / "logits" / f"{name}.{OFFSETS}"
    return ByToken(values, np.load(own, allow_pickle=False)) if own.is_file() else _in_rows(folder, values)


def read_calls(folder: Path, name: str) -> list[list[list[float]]]:
    """Milliseconds of every call of a candidate: by cell, then by round; empty where it was not timed."""
    rounds = json.loads((folder / "timings.json").read_text(encoding="utf-8")).get(name, [])
    return [list(cell) for cell in zip(*(one["milliseconds"] for one in rounds), strict=True)]


def _in_rows(folder: Path, values: npt.NDArray[Any]) -> npt.NDArray[Any] | Ragged:
    offsets = _offsets(folder)
    return values if offsets is None else Ragged(values, offsets)


def _offsets(folder: Path) -> npt.NDArray[np.int64] | None:
    file = folder / OFFSETS
    return np.load(file, allow_pickle=False) if file.is_file() else None
