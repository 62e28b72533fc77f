"""The model as it is served: text in, probabilities or a number out, with onnxruntime, tokenizers and numpy alone.

There is one copy of this: MLflow serves this file, the bare process that answers golden requests runs it, and the
evaluation and the champion answer with it. So what was judged is what is served. It imports nothing of Hone and can be
copied beside a model. What it reads from an exported folder:

model.onnx       the graph
tokenizer.json   text to token ids, with the length and the side at which a text is cut and the padding
config.json      label names, as id2label; where a text may have several, the threshold from which on one is given
serving.json     what else becomes of a text on its way in: `TextSettings`
session.json     how the session is made, where the model has been judged: providers, threads, memory_arena
"""

import contextlib
import io
import json
import mmap
import os
import string
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

# Read when onnxruntime is imported, which otherwise reports every session to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

SERVING, SESSION = "serving.json", "session.json"
BATCH_SIZE = 32
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""onnxruntime's names for what recipes call tensorrt, cuda and cpu."""
LOGITS, PAST, PRESENT = "logits", "past_key_values", "present"
"""How the graph of a decoder with a cache names what it answers, and keys and values before and after a call."""
FATAL, WARNING = 4, 2  # onnxruntime's levels of severity
QUANTIZE_NODE = b'"\x0eQuantizeLinear'
"""As protobuf writes the operator of a node: field 4, 14 bytes."""


@dataclass(frozen=True)
class TextSettings:
    """What becomes of a text before and beside the tokenizer: the content of `serving.json`."""

    max_length: int = 128
    """Tokens; a longer text is cut as `tokenizer.json` says."""
    pairs: bool = False
    """Whether two texts are judged together."""
    lowercase: bool = False
    strip_punctuation: bool = False
    token_types: bool = True
    """Whether the model learned with the token types that the tokenizer gives; they are 0 otherwise."""
    split_special_tokens: bool = False
    """Whether `[SEP]` and the like in a text are read as letters."""
    task: str = "text-classification"
    """What the model does: the recipe's task, or multi-label-classification or regression, where its texts have several
    labels or a number; token-classification reads sentences through `spans.py`, question-answering questions with
    their contexts through `answering.py`, text-generation documents, prompts and chats through `generating.py`."""
    text_column: str = "text"
    """Column that the model learned from, for whoever asks it about a file."""
    pair_column: str = ""


@dataclass(frozen=True)
class TokenIds:
    """One text, or pair of texts, as the model reads it."""

    ids: Any
    """[tokens]."""
    type_ids: Any
    """[tokens]."""


class TextReader:
    """Texts as token ids, as the exported folder says."""

    def __init__(self, folder: Path) -> None:
        self.settings = read_text_settings(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        if self.tokenizer.truncation is None or self.tokenizer.padding is None:
            raise ValueError(f"{folder / 'tokenizer.json'} says no length or no padding: export the model again")
        self.pad_id = int(self.tokenizer.padding["pad_id"])
        self.tokenizer.no_padding()  # rows are padded batch by batch, sorted by length
        self.tokenizer.encode_special_tokens = self.settings.split_special_tokens

    def read(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[TokenIds]:
        """Token ids of each row, cleaned as the text that the model learned from and cut to its length.

        Raises:
            ValueError: when a text is not a string, or the model wants pairs and gets none, or the reverse.
        """
        if self.settings.pairs and pairs is None:
            raise ValueError("the model judges pairs of texts: give each row a text and a text_pair")
        if pairs is not None and not self.settings.pairs:
            raise ValueError("the model judges single texts: give each row one text and no text_pair")
        first = [self.clean(text, row) for row, text in enumerate(texts)]
        rows: list[Any] = first
        if pairs is not None:
            rows = list(zip(first, (self.clean(text, row) for row, text in enumerate(pairs)), strict=True))
        encoded = self.tokenizer.encode_batch(rows)
        with_types = self.settings.token_types
        return [TokenIds(row.ids, row.type_ids if with_types else [0] * len(row.ids)) for row in encoded]

    def clean(self, text: str, row: int = 0) -> str:
        """As the text was cleaned that the model learned from."""
        if not isinstance(text, str):
            raise ValueError(f"row {row} holds {type(text).__name__} where a text is asked for")  # noqa: TRY004
        return clean(text, lowercase=self.settings.lowercase, strip_punctuation=self.settings.strip_punctuation)


class Classifier:
    """An exported folder, ready to answer."""

    def __init__(self, folder: Path, session: dict[str, Any] | None = None) -> None:
        """Args:
        session: providers, threads or memory_arena, where they are to be other than `session.json` says.
        """
        how = read_session_settings(folder) | (session or {})
        self.reader = TextReader(folder)
        self.labels = read_labels(folder)
        self.threshold = read_threshold(folder)
        self.session = create_session(
            folder / "model.onnx", how["providers"], how["threads"], memory_arena=how["memory_arena"]
        )

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None, batch_size: int = BATCH_SIZE) -> Any:
        """[rows, labels] float32, in the order of the rows."""
        rows = self.reader.read(texts, pairs)
        result = np.zeros((len(rows), len(self.labels)), np.float32)
        for indices in batches([len(row.ids) for row in rows], batch_size):
            result[indices] = run(self.session, [rows[index] for index in indices], self.reader.pad_id)
        return result

    def answers(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """What is said of each row, in their order: label, score and probabilities; labels, each with its score, and
        probabilities; or a number."""
        return ANSWERS[self.reader.settings.task](self.logits(texts, pairs), self.labels, self.threshold)


def one_label(logits: Any, labels: Sequence[str], threshold: float | None) -> list[dict[str, Any]]:
    """The label of each row with its score, and the probabilities of all, which add up to 1."""
    told = []
    for chances in softmax(logits):
        best = int(chances.argmax())
        by_label = dict(zip(labels, chances.tolist(), strict=True))
        told.append({"label": labels[best], "score": float(chances[best]), "probabilities": by_label})
    return told


def several_labels(logits: Any, labels: Sequence[str], threshold: float | None) -> list[dict[str, Any]]:
    """The labels of each row whose probability is above the threshold, each with that as its score, the highest first;
    and the probabilities of all, each for itself."""
    told, least = [], 0.5 if threshold is None else threshold
    for chances in sigmoid(logits):
        by_label = dict(zip(labels, chances.tolist(), strict=True))
        given = sorted(((score, label) for label, score in by_label.items() if score > least), key=lambda one: -one[0])
        several = [{"label": label, "score": score} for score, label in given]
        told.append({"labels": several, "probabilities": by_label})
    return told


def a_number(logits: Any, labels: Sequence[str], threshold: float | None) -> list[dict[str, Any]]:
    """The number of each row."""
    return [{"number": float(number)} for number in logits[:, 0]]


ANSWERS: dict[str, Any] = {
    "text-classification": one_label,
    "multi-label-classification": several_labels,
    "regression": a_number,
}
"""By what the model does."""


def clean(text: str, *, lowercase: bool, strip_punctuation: bool) -> str:
    """Lower-cased and without punctuation where asked, in Unicode's composed form, with single blanks."""
    if lowercase:
        text = text.lower()
    if strip_punctuation:
        text = "".join(" " if _is_punctuation(letter) else letter for letter in text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def batches(lengths: Sequence[int], size: int) -> list[Any]:
    """Places of the rows [batch] of each batch: every row once, sorted by length, ties in their order."""
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def run(session: onnxruntime.InferenceSession, rows: Sequence[TokenIds], pad_id: int) -> Any:
    """Logits [rows, labels] float32 of one batch, padded on the right to the longest row; [rows, length, labels] where
    each token has its own, and where the graph has several outputs of tokens, [rows, length, outputs]."""
    shape = (len(rows), max(len(row.ids) for row in rows))
    feed = {
        "input_ids": np.full(shape, pad_id, dtype=np.int64),
        "attention_mask": np.zeros(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }
    for index, row in enumerate(rows):
        length = len(row.ids)
        feed["input_ids"][index, :length] = row.ids
        feed["attention_mask"][index, :length] = 1
        feed["token_type_ids"][index, :length] = row.type_ids
    return ask(session, feed)


def ask(session: onnxruntime.InferenceSession, tokens: dict[str, Any]) -> Any:
    """What a graph answers to a batch (as of `run`), with an empty cache where it has one.

    Args:
        tokens: [batch, length] int64 by name; those that the graph does not want are left out.
    """
    cache = empty_cache(session, len(tokens["input_ids"]))
    given = {value.name: tokens[value.name] for value in session.get_inputs() if value.name not in cache}
    outputs = session.run([LOGITS] if cache else None, given | cache)
    return outputs[0] if len(outputs) == 1 else np.stack(outputs, axis=-1)


def empty_cache(session: onnxruntime.InferenceSession, batch: int, room: int = 0) -> dict[str, Any]:
    """Keys and values of no token, fp32 [batch, groups, room, head size] by the graph's names; nothing of a graph
    without a cache."""
    shapes = {value.name: value.shape for value in session.get_inputs() if value.name.startswith(PAST)}
    return {name: np.zeros((batch, shape[1], room, shape[3]), np.float32) for name, shape in shapes.items()}


def softmax(logits: Any) -> Any:
    """Probabilities [rows, labels] float64."""
    grown = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def sigmoid(logits: Any) -> Any:
    """Probabilities [rows, labels] float64, each label for itself."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))


def create_session(
    model: Path | bytes,
    providers: Sequence[str],
    threads: int = 0,
    options: onnxruntime.SessionOptions | None = None,
    memory_arena: bool = True,
) -> onnxruntime.InferenceSession:
    """A session on those of the providers that work on this machine, in their order, with the CPU behind them.

    A GPU provider whose libraries or device are missing is left out without a word; errors in the model are raised.

    Args:
        providers: some of tensorrt, cuda, cpu, the preferred one first.
        threads: of one operator; 0 takes one for each core.
        options: to set more than that.
        memory_arena: whether the CPU keeps the memory of one call for the next.
    """
    options = options or onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = memory_arena
    options.log_severity_level = FATAL - 1
    # On CPUs without VNNI the fast 8-bit product overflows 16 bits and answers wrong; this takes the exact one there,
    # and changes nothing elsewhere.
    options.add_session_config_entry("session.x64quantprecision", "1")
    available = [
        name for name in providers if PROVIDERS[name] in onnxruntime.get_available_providers() or name == "cpu"
    ]
    if "cpu" not in available:
        available.append("cpu")
    with _quiet(gpu=available[0] != "cpu"):
        while available[0] == "tensorrt":
            try:
                return _session(model, available, options)
            except (ValueError, RuntimeError):  # what it raises when TensorRT's libraries are missing
                available = available[1:]
        return _session(model, available, options)


def provider_names(session: onnxruntime.InferenceSession) -> list[str]:
    """What a session got, in the recipes' words, in its order."""
    short = {name: word for word, name in PROVIDERS.items()}
    return [short.get(name, name) for name in session.get_providers()]


def read_labels(folder: Path) -> list[str]:
    """Label names by id."""
    names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    return [names[str(index)] for index in range(len(names))]


def read_threshold(folder: Path) -> float | None:
    """The probability above which a label is given, where a text may have several; None of other models, whatever
    their config has left of an earlier life."""
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if told.get("problem_type") != "multi_label_classification":
        return None
    return float(told.get("threshold", 0.5))


def read_text_settings(folder: Path) -> TextSettings:
    """What `serving.json` says."""
    told = json.loads((folder / SERVING).read_text(encoding="utf-8"))
    told = {"task": "text-classification"} | told  # older folders do not say it
    return TextSettings(**{field.name: told[field.name] for field in fields(TextSettings)})


def read_session_settings(folder: Path) -> dict[str, Any]:
    """What `session.json` says; a model that nobody has judged has one thread of the CPU."""
    file = folder / SESSION
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {"providers": ["cpu"], "threads": 1, "memory_arena": True} | told


def is_quantized(model: Path | bytes) -> bool:
    """Whether it holds QuantizeLinear. TensorRT has to be told, and must not be told of a model that does not."""
    if isinstance(model, bytes):
        return QUANTIZE_NODE in model
    with model.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(QUANTIZE_NODE) >= 0


def _session(
    model: Path | bytes, providers: list[str], options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    chosen: list[Any] = [PROVIDERS[name] for name in providers]
    if providers[0] == "tensorrt" and is_quantized(model):
        chosen[0] = (PROVIDERS["tensorrt"], {"trt_int8_enable": True})
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=chosen, enable_fallback=0
    )


@contextlib.contextmanager
def _quiet(gpu: bool) -> Iterator[None]:
    """onnxruntime tells on stderr, below Python, of each GPU library that it cannot load. PyTorch's own copies of them
    are loaded first, so that a machine which trains on its GPU also infers on it."""
    if not gpu:
        yield
        return
    onnxruntime.set_default_logger_severity(FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()
        yield
    finally:
        onnxruntime.set_default_logger_severity(WARNING)


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")
