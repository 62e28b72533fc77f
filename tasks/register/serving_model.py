"""The registered model as MLflow runs it: text in, label and scores out.

MLflow keeps a copy of this file with the model and executes it where the model is served, so it knows nothing of Hone
and needs no torch. Its settings are the logged model's `model_config`, which `mlflow.pyfunc.load_model(uri,
model_config={...})` overrides, for example the providers on a machine without a GPU.
"""

import contextlib
import io
import json
import string
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from mlflow.models import ModelConfig, set_model
from mlflow.pyfunc import PythonModel
from pydantic import BaseModel
from tokenizers import Tokenizer

BATCH_SIZE = 32
CPU, TENSORRT = "CPUExecutionProvider", "TensorrtExecutionProvider"


class Answer(BaseModel):
    """What the model says of one text: MLflow reads the signature of the output from it. The answers themselves are
    plain dictionaries, which its server writes as JSON."""

    label: str
    score: float
    """Probability of the label."""
    probabilities: dict[str, float]
    """By label; they add up to 1."""


class Pair(BaseModel):
    """Two texts that are judged together."""

    text: str
    text_pair: str


class _Classifier(PythonModel):
    def load_context(self, context: Any) -> None:
        folder = Path(context.artifacts["model"])
        settings = context.model_config
        self._session = _open_session(folder / "model.onnx", settings["providers"], settings["tensorrt_int8"])
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._labels = [config["id2label"][str(place)] for place in range(len(config["id2label"]))]
        self._pad_id = config.get("pad_token_id") or 0
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings["max_length"])
        self._lowercase: bool = settings["lowercase"]
        self._strip_punctuation: bool = settings["strip_punctuation"]

    def _answer(self, texts: list[Any]) -> list[dict[str, Any]]:
        """One answer for each text or pair of texts, in their order; batches hold rows of similar length."""
        encoded = self._tokenizer.encode_batch(texts)
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row].ids))
        answers: list[dict[str, Any]] = [{} for _ in encoded]
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            for row, chances in zip(rows, self._probabilities([encoded[row] for row in rows]), strict=True):
                best = int(chances.argmax())
                by_label = dict(zip(self._labels, chances.tolist(), strict=True))
                answers[row] = {"label": self._labels[best], "score": float(chances[best]), "probabilities": by_label}
        return answers

    def _probabilities(self, rows: list[Any]) -> Any:
        """[batch, labels] float64, padded on the right to the longest row."""
        shape = (len(rows), max(len(row.ids) for row in rows))
        feed = {
            "input_ids": np.full(shape, self._pad_id, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for place, row in enumerate(rows):
            length = len(row.ids)
            feed["input_ids"][place, :length] = row.ids
            feed["attention_mask"][place, :length] = 1
            feed["token_type_ids"][place, :length] = row.type_ids
        wanted = [given.name for given in self._session.get_inputs()]
        logits = self._session.run(None, {name: feed[name] for name in wanted})[0].astype(np.float64)
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)

    def _clean(self, text: str) -> str:
        """As the text was cleaned that the model learnt from."""
        if self._lowercase:
            text = text.lower()
        if self._strip_punctuation:
            text = "".join(" " if _is_punctuation(letter) else letter for letter in text)
        return " ".join(unicodedata.normalize("NFC", text).split())


def _open_session(model: Path, providers: list[str], tensorrt_int8: bool) -> onnxruntime.InferenceSession:
    """A session on those of the providers that work where it is served, in their order, with the CPU behind them."""
    options = onnxruntime.SessionOptions()
    # The fast 8-bit product overflows on CPUs without VNNI; this takes the exact one there.
    options.add_session_config_entry("session.x64quantprecision", "1")
    available = onnxruntime.get_available_providers()
    wanted = [name for name in providers if name in available]
    wanted += [CPU] if CPU not in wanted else []
    if wanted[0] != CPU:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of each library that it does not find
            onnxruntime.preload_dlls()
    while True:
        chosen = [(name, {"trt_int8_enable": True} if tensorrt_int8 and name == TENSORRT else {}) for name in wanted]
        try:
            return onnxruntime.InferenceSession(str(model), options, providers=chosen, enable_fallback=0)
        except (ValueError, RuntimeError):  # what it raises when TensorRT's libraries are missing
            if wanted[0] != TENSORRT:
                raise
            wanted = wanted[1:]


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")


class TextClassifier(_Classifier):
    """Takes a list of texts."""

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> list[Answer]:
        """One answer for each text, in their order."""
        return self._answer([self._clean(text) for text in model_input])  # type: ignore[return-value]  # see Answer


class PairClassifier(_Classifier):
    """Takes a list of `{"text": ..., "text_pair": ...}`."""

    def predict(self, context: Any, model_input: list[Pair], params: dict[str, Any] | None = None) -> list[Answer]:
        """One answer for each pair, in their order."""
        return self._answer([(self._clean(row.text), self._clean(row.text_pair)) for row in model_input])  # type: ignore[return-value]


_settings = ModelConfig(development_config={"pairs": False}).to_dict()
set_model(PairClassifier() if _settings["pairs"] else TextClassifier())
