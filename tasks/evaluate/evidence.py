"""What every number of the evaluation can be computed from again: answers and single timings, not only their averages.

labels.npy            int64 [rows]: the true labels of the test split
logits/NAME.npy       float32 [rows, labels]: what a candidate answered, rows as in the split
timings.json          {NAME: [one object for each round: providers, load_seconds, peak_memory_bytes,
                      milliseconds: every sample, by cell in the order of evaluate.cells]}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tasks.evaluate.latency import Timing


def save(
    folder: Path, labels: np.ndarray, logits: Mapping[str, np.ndarray], timings: Mapping[str, Sequence[Timing]]
) -> None:
    """Writes the evidence into a new folder. The .npy files hold numbers only and are read with allow_pickle=False."""
    (folder / "logits").mkdir(parents=True)
    np.save(folder / "labels.npy", labels.astype(np.int64), allow_pickle=False)
    for name, answered in logits.items():
        np.save(folder / "logits" / f"{name}.npy", answered.astype(np.float32), allow_pickle=False)
    plain = {name: [asdict(timing) for timing in rounds] for name, rounds in timings.items()}
    (folder / "timings.json").write_text(json.dumps(plain), encoding="utf-8")
