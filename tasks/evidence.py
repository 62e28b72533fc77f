"""What every number of the evaluation can be computed from again: answers and single timings, not only their averages.

labels.npy            int64 [rows]: the true labels of the test split
logits/NAME.npy       float32 [rows, labels]: what a candidate answered, rows as in the split; NAME+typos and the like
                      for texts that were perturbed; NAME+alone one text at a time, not evaluate.batch_size together
rows.npy              int64: places in the split of the rows that were answered; absent where all of them were
timings.json          {NAME: [one object for each round: providers, load_seconds, peak_memory_bytes,
                      milliseconds: every sample, by cell in the order of evaluate.cells]}, each cell as what suits the
                      model there ran it; NAME+one thread with one thread
forms.json            what every hand-off from one form to the next changed, and whether the model serves
golden.json           requests with the answers that the selected model has to give wherever it is loaded
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

GOLDEN = "golden.json"
ONE_THREAD = "one thread"
ALONE = "alone"
"""Where activations are quantised with one scale for a whole batch, an answer depends on its neighbours there."""


def save(
    folder: Path,
    labels: npt.NDArray[np.int64],
    logits: Mapping[str, npt.NDArray[np.float32]],
    timings: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes the evidence into a new folder. The .npy files hold numbers only and are read with allow_pickle=False."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "labels.npy", labels.astype(np.int64), allow_pickle=False)
    save_logits(folder, logits)
    (folder / "timings.json").write_text(json.dumps(timings), encoding="utf-8")


def save_logits(folder: Path, logits: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Writes `logits/NAME.npy` for each."""
    (folder / "logits").mkdir(parents=True, exist_ok=True)
    for name, answered in logits.items():
        np.save(folder / "logits" / f"{name}.npy", answered.astype(np.float32), allow_pickle=False)


def save_rows(folder: Path, places: Sequence[int]) -> None:
    """Writes which rows of the split were answered."""
    np.save(folder / "rows.npy", np.array(places, dtype=np.int64), allow_pickle=False)


def read_rows(folder: Path, rows: int) -> npt.NDArray[np.int64]:
    """Places of those that were answered among the split's `rows` rows."""
    file = folder / "rows.npy"
    return np.load(file, allow_pickle=False) if file.is_file() else np.arange(rows)


def read_labels(folder: Path) -> npt.NDArray[np.int64]:
    """True labels [rows]."""
    labels: npt.NDArray[np.int64] = np.load(folder / "labels.npy", allow_pickle=False)
    return labels


def read_logits(folder: Path, name: str) -> npt.NDArray[np.float32] | None:
    """What a candidate answered [rows, labels]; None where it was not asked."""
    file = folder / "logits" / f"{name}.npy"
    return np.load(file, allow_pickle=False) if file.is_file() else None


def read_calls(folder: Path, name: str) -> list[list[list[float]]]:
    """Milliseconds of every call of a candidate: by cell, then by round; empty where it was not timed."""
    rounds = json.loads((folder / "timings.json").read_text(encoding="utf-8")).get(name, [])
    return [list(cell) for cell in zip(*(one["milliseconds"] for one in rounds), strict=True)]
