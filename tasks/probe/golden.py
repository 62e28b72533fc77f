"""Golden requests: rows of the test split with what the exported model answered, to be answered again wherever it goes.

`golden.json` lies with the evaluation's evidence and, once the model is registered, beside the model.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from configs.recipe import Recipe
from tasks.contracts import Contract
from tasks.errors import MeasurementError

if TYPE_CHECKING:  # it needs torch, and whoever promotes a model does not
    from tasks.model.text import Rows

TOLERANCE = 1e-3
"""Of a probability. Two CPU sessions differ by 1e-7 at most; a GPU's may choose other kernels each time."""


class Golden(Contract):
    """The format of `golden.json`."""

    settings: dict[str, Any]
    """How the model is served, as `serving_settings` gives it."""
    labels: list[str]
    """Label names by id."""
    requests: list[dict[str, str]]
    """`{"text"}`, and `"text_pair"` where the model judges pairs; as cleaned by the data stage."""
    probabilities: list[list[float]]
    """[requests, labels]."""
    tolerance: float = TOLERANCE
    """Largest difference of a probability."""

    @property
    def rows(self) -> list[Any]:
        """The requests as the served model takes them: texts, or `{"text", "text_pair"}`."""
        return [request if "text_pair" in request else request["text"] for request in self.requests]


def serving_settings(recipe: Recipe, folder: Path, has_pairs: bool) -> dict[str, Any]:
    """How the exported model in a folder is served; plain values, with providers by onnxruntime's names."""
    from tasks.model import sessions

    return {
        "pairs": has_pairs,
        "providers": [sessions.PROVIDERS[name] for name in recipe.export.providers],
        "tensorrt_int8": sessions.is_quantized(folder / "model.onnx"),
        "max_length": recipe.model.max_length,
        "lowercase": recipe.data.lowercase,
        "strip_punctuation": recipe.data.strip_punctuation,
    }


def choose_rows(rows: "Rows", count: int) -> list[Any]:
    """At most `count` rows, spread evenly over the split from its first to its last, in the form the served model takes
    them: texts, or `{"text", "text_pair"}`."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    if rows.pairs is None:
        return [rows.texts[place] for place in places]
    return [{"text": rows.texts[place], "text_pair": rows.pairs[place]} for place in places]


def probabilities(folder: Path, rows: list[Any], max_length: int, providers: Sequence[str]) -> npt.NDArray[np.float64]:
    """softmax(logits) [rows, labels] of an exported folder in plain ONNX Runtime, row by row and so without padding.

    Args:
        rows: as `choose_rows` gives them.
        providers: as the recipe names them.
    """
    from tokenizers import Tokenizer

    from tasks.model import sessions

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


def write_golden(path: Path, folder: Path, rows: list[Any], settings: dict[str, Any]) -> None:
    """Has the exported model in `folder` answer the rows, here and one by one, and writes `golden.json`.

    Args:
        rows: as `choose_rows` gives them.
        settings: as `serving_settings` gives them.

    Raises:
        MeasurementError: when an answer is not a number.
    """
    from tasks.model import sessions

    words = {name: word for word, name in sessions.PROVIDERS.items()}
    expected = probabilities(folder, rows, settings["max_length"], [words[name] for name in settings["providers"]])
    if not np.isfinite(expected).all():
        worst = rows[int(np.argmin(np.isfinite(expected).all(axis=1)))]
        raise MeasurementError(f"{folder}: the exported model answers {worst!r} with nan, so there is nothing to ship")
    names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    golden = Golden(
        settings=settings,
        labels=[names[str(place)] for place in range(len(names))],
        requests=[{"text": row} if isinstance(row, str) else row for row in rows],
        probabilities=expected.tolist(),
    )
    path.write_text(golden.model_dump_json(indent=1), encoding="utf-8")


def read_golden(path: Path) -> Golden:
    """Reads `golden.json`.

    Raises:
        OSError, ValueError: when it is absent, or not one.
    """
    return Golden.model_validate_json(path.read_text(encoding="utf-8"))
