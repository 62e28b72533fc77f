"""What is logged beside the graph so that it can be served, and the proof that it answers there as it did here."""

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.errors import RegistryError
from tasks.probe.golden import TOLERANCE

CODE = Path(__file__).with_name("serving_model.py")
LIBRARIES = ("mlflow", "numpy", "onnxruntime", "onnxruntime-gpu", "pydantic", "tokenizers")


def requirements() -> list[str]:
    """The distributions `serving_model.py` needs, at the versions installed here."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    return [f"{name}=={importlib.metadata.version(name)}" for name in LIBRARIES if name in installed]


def prove(predict: Callable[[list[Any]], Any], rows: list[Any], expected: npt.NDArray[np.float64]) -> float:
    """Asks the loaded model about each row and returns the largest difference of a probability.

    Raises:
        RegistryError: naming the row that differs most, and both answers.
    """
    answers = [predict([row])[0] for row in rows]
    found = np.array([list(answer["probabilities"].values()) for answer in answers])
    if found.shape != expected.shape:
        raise RegistryError(
            f"the model loaded back from MLflow gives {found.shape[1]} probabilities a text and the exported one "
            f"{expected.shape[1]}: no alias was set; look at the logged model before running again"
        )
    differences = np.abs(found - expected).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise RegistryError(
            f"the model loaded back from MLflow differs from the exported one by {differences[worst]:.2g} "
            f"(at most {TOLERANCE:g}) on {rows[worst]!r}: {found[worst].round(4).tolist()} instead of "
            f"{expected[worst].round(4).tolist()}; no alias was set; look at the logged model before running again"
        )
    return float(differences[worst])
