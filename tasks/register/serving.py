"""What is logged beside the graph so that it can be served, and the proof that it answers there as it did here."""

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from configs.recipe import Recipe
from tasks.errors import RegistryError
from tasks.model import sessions
from tasks.model.text import Rows

CODE = Path(__file__).with_name("serving_model.py")
LIBRARIES = ("mlflow", "numpy", "onnxruntime", "onnxruntime-gpu", "pydantic", "tokenizers")
TOLERANCE = 1e-3
"""Of a probability. Two CPU sessions differ by 1e-7 at most; a GPU's may choose other kernels each time."""


def serving_settings(recipe: Recipe, folder: Path, has_pairs: bool) -> dict[str, Any]:
    """The `model_config` that `serving_model.py` reads.

    Args:
        folder: the exported model.
    """
    return {
        "pairs": has_pairs,
        "providers": [sessions.PROVIDERS[name] for name in recipe.export.providers],
        "tensorrt_int8": sessions.is_quantized(folder / "model.onnx"),
        "max_length": recipe.model.max_length,
        "lowercase": recipe.data.lowercase,
        "strip_punctuation": recipe.data.strip_punctuation,
    }


def requirements() -> list[str]:
    """The distributions `serving_model.py` needs, at the versions installed here."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    return [f"{name}=={importlib.metadata.version(name)}" for name in LIBRARIES if name in installed]


def examples(rows: Rows, count: int) -> list[Any]:
    """The first rows in the form the served model takes them: texts, or `{"text", "text_pair"}`."""
    if rows.pairs is None:
        return list(rows.texts[:count])
    return [{"text": text, "text_pair": pair} for text, pair in zip(rows.texts[:count], rows.pairs, strict=False)]


def probabilities(folder: Path, rows: list[Any], max_length: int, providers: Sequence[str]) -> npt.NDArray[np.float64]:
    """softmax(logits) [rows, labels] of an exported folder in plain ONNX Runtime, row by row and so without padding.

    Args:
        rows: as `examples` gives them.
        providers: as the recipe names them.
    """
    session = sessions.create_session(folder / "model.onnx", providers)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    wanted = {given.name for given in session.get_inputs()}
    found = []
    for row in rows:
        encoded = tokenizer.encode(row) if isinstance(row, str) else tokenizer.encode(row["text"], row["text_pair"])
        feed = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        logits = session.run(None, {name: np.array([feed[name]], dtype=np.int64) for name in wanted})[0][0]
        grown = np.exp(logits.astype(np.float64) - logits.max())
        found.append(grown / grown.sum())
    return np.stack(found)


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
