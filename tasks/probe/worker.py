"""The process that answers golden requests as a server of the model will: `python -I worker.py FOLDER GOLDEN ANSWER`.

It is given an exported folder and what serves it (numpy, onnxruntime, tokenizers), and refuses to import anything of
Hone or of what trained the model: that it answers proves that none of it is needed. What it does to a text is therefore
said here once more, as in the file that MLflow serves (`tasks/register/serving_model.py`); a test holds them together.
"""

# ruff: noqa: E402
import sys

REFUSED = {"tasks", "flows", "configs", "torch", "transformers", "mlflow"}


class Refusal:
    """Finds none of the refused modules, wherever they are installed."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """None lets the next finder look."""
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"{name}: not there where the model is served", name=name)


if __name__ == "__main__":
    sys.meta_path.insert(0, Refusal)

import contextlib
import io
import json
import resource
import string
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

CPU, TENSORRT = "CPUExecutionProvider", "TensorrtExecutionProvider"


class Model:
    """An exported folder, ready to answer."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._session = open_session(folder / "model.onnx", settings["providers"], settings["tensorrt_int8"])
        self._wanted = [given.name for given in self._session.get_inputs()]
        names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
        self.labels = [names[str(place)] for place in range(len(names))]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings["max_length"])
        self._settings = settings

    def probabilities(self, request: dict[str, str]) -> Any:
        """[labels] float64."""
        pair = clean(request["text_pair"], self._settings) if "text_pair" in request else None
        row = self._tokenizer.encode(clean(request["text"], self._settings), pair)
        feed = {"input_ids": row.ids, "attention_mask": row.attention_mask, "token_type_ids": row.type_ids}
        logits = self._session.run(None, {name: np.array([feed[name]], dtype=np.int64) for name in self._wanted})[0][0]
        grown = np.exp(logits.astype(np.float64) - logits.max())
        return grown / grown.sum()


def clean(text: str, settings: dict[str, Any]) -> str:
    """As the text was cleaned that the model learnt from."""
    if settings["lowercase"]:
        text = text.lower()
    if settings["strip_punctuation"]:
        text = "".join(" " if _is_punctuation(letter) else letter for letter in text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def open_session(model: Path, providers: list[str], tensorrt_int8: bool) -> onnxruntime.InferenceSession:
    """A session on those of the providers that work here, in their order, with the CPU behind them."""
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


def judge(found: Any, labels: list[str], expected: list[float], names: list[str], tolerance: float) -> dict[str, Any]:
    """Holds one answer [labels] against the expected one: the largest difference of a probability, and whether the
    label is the expected one, or one that the expected answer has within the tolerance of it.

    An answer that is no number, or has another number of labels, is off by 1, the most that a probability can be.
    """
    if len(found) != len(expected) or not np.isfinite(found).all():
        return {"max_abs_difference": 1.0, "label_expected": False}
    close = {name for name, chance in zip(names, expected, strict=True) if chance >= max(expected) - tolerance}
    return {
        "max_abs_difference": float(np.abs(found - np.array(expected)).max()),
        "label_expected": labels[int(found.argmax())] in close,
    }


def peak_memory_bytes() -> int:
    """Largest resident set of this process since it began to run its own program.

    On Linux not from getrusage: its ru_maxrss is handed on from parent to child, and would be the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def answer(folder: Path, golden: dict[str, Any]) -> dict[str, Any]:
    """Loads the model, answers every request by itself, and says what that took."""
    begun = time.perf_counter()
    model = Model(folder, golden["settings"])
    load_seconds = time.perf_counter() - begun
    answers = [
        judge(model.probabilities(request), model.labels, expected, golden["labels"], golden["tolerance"])
        for request, expected in zip(golden["requests"], golden["probabilities"], strict=True)
    ]
    return {"load_seconds": load_seconds, "peak_memory_bytes": peak_memory_bytes(), "answers": answers}


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")


if __name__ == "__main__":
    model_folder, golden_file, answer_file = (Path(argument) for argument in sys.argv[1:])
    told = answer(model_folder, json.loads(golden_file.read_text(encoding="utf-8")))
    answer_file.write_text(json.dumps(told), encoding="utf-8")
