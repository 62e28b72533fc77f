"""What a model answers on the test split. An exported one is asked by the very code that serves it (`runtime`)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from hone.tasks import store
from hone.tasks.cores import usable_cores
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.checkpoints.safety import check_config
from hone.tasks.model.runtime import runtime
from hone.tasks.model.runtime.model_under_test import ModelUnderTest
from hone.tasks.model.runtime.runtime import TokenIds, create_session
from hone.tasks.model.text import Batch, Rows, TokenizedText, make_batch, model_inputs, tokenize
from hone.tasks.model.tokenized import tokenizer_digest
from hone.tasks.model.training.fake_quantization import attach, read_plan
from hone.tasks.objectives.judging import Answers
from hone.tasks.objectives.learning import learning_of
from hone.tasks.objectives.multi_label_classification.threshold import logit
from hone.tasks.objectives.question_answering import answering
from hone.tasks.objectives.question_answering.learning import cutter
from hone.tasks.objectives.ragged import ByToken, Ragged
from hone.tasks.objectives.text_generation import chat, generating
from hone.tasks.objectives.text_generation.conversations import encoded
from hone.tasks.objectives.text_generation.generating import DocumentReader
from hone.tasks.objectives.text_generation.learning import boundary_of, token_ids
from hone.tasks.objectives.token_classification import windows
from hone.tasks.objectives.token_classification.spans import SentenceReader
from hone.tasks.objectives.token_classification.windows import Windows

Answer = Callable[["EncodedSplit", np.ndarray], np.ndarray]
LOGITS_AT_ONCE = 2**27
"""Numbers that a language model may answer with at once: half a gigabyte."""
Backend = Literal["pytorch", "fake-quantised", "onnxruntime"]
"""fake-quantised: in PyTorch, with the roundings of the integer graph."""


@dataclass(frozen=True)
class EncodedSplit:
    """Rows as a model's own tokenizer reads them."""

    text: TokenizedText
    """Of sentences, questions and documents, a row of it is a window."""
    pad_id: int
    token: Callable[[int], str]
    """The token of an id."""
    windows: Windows | None = None
    """Of sentences, how the windows and their words hang together."""
    questions: answering.Windows | None = None
    """Of questions, how the windows and their contexts do."""
    documents: generating.Windows | None = None
    """Of documents and conversations, how the windows and their tokens do."""

    @property
    def row_lengths(self) -> np.ndarray:
        """Tokens of each row of the split [rows], in all its windows together."""
        if self.text.sources is None:
            return self.text.lengths
        return np.bincount(self.text.sources, self.text.lengths).astype(np.int64)

    def places_of(self, rows: np.ndarray) -> np.ndarray:
        """Places in `text` of these rows of the split."""
        return rows if self.text.sources is None else np.flatnonzero(np.isin(self.text.sources, rows))

    def batch(self, indices: np.ndarray) -> Batch:
        """These rows, padded to the longest of them."""
        return make_batch(self.text, indices, self.pad_id, "cpu")

    def rows(self, indices: np.ndarray) -> list[TokenIds]:
        """These rows, as the served model takes them."""
        result = []
        for index in indices:
            part = slice(int(self.text.offsets[index]), int(self.text.offsets[index + 1]))
            ids = self.text.ids[part]
            types = np.zeros_like(ids) if self.text.type_ids is None else self.text.type_ids[part]
            result.append(TokenIds(ids, types))
        return result


class Readings:
    """A split as several models read it: those that read it alike, to the byte, share one reading."""

    def __init__(self, rows: Rows, max_length: int) -> None:
        """Args: as of `read`."""
        self.rows = rows
        self._max_length = max_length
        self._known: dict[str, EncodedSplit] = {}

    def of(self, folder: Path) -> EncodedSplit:
        """The rows as the model in a folder reads them (see `read`)."""
        if (folder / runtime.SERVING).exists():
            key = " ".join(store.file_digest(folder / name) for name in ("tokenizer.json", runtime.SERVING))
        else:
            tokenizer = load_tokenizer(folder)
            key = f"{tokenizer_digest(tokenizer)} {tokenizer.pad_token_id}"
        if key not in self._known:
            self._known[key] = read(folder, self.rows, self._max_length)
        return self._known[key]


def predict(
    subject: ModelUnderTest, rows: Rows, *, max_length: int, batch_size: int, providers: Sequence[str], threads: int
) -> Answers:
    """Logits [rows, labels] float32, in the order of the rows, of a model with its own tokenizer, less that of its
    threshold where it has one; numbers [rows, 1]; where rows are words with tags, `Ragged` logits [rows, words of each,
    labels]; where they are questions, answers as `answering` has them; where they are documents, `ByToken` numbers of
    their tokens as `generating` has them.

    Args:
        threads: 0 takes one for each core.
    """
    reading = read(subject.folder, rows, max_length)
    return answer(subject.folder, subject.runtime, reading, batch_size=batch_size, providers=providers, threads=threads)


def read(folder: Path, rows: Rows, max_length: int) -> EncodedSplit:
    """The rows as the model in a folder reads them: an exported one as it is served, with the length and the cleaning
    that it was exported with; a checkpoint through its tokenizer, cut to `max_length`. Sentences and documents are cut
    nowhere, and become windows of that length."""
    if (folder / runtime.SERVING).exists():
        return _read_as_served(folder, rows)
    tokenizer = load_tokenizer(folder)
    pad_id = int(tokenizer.pad_token_id)

    def token(token_id: int) -> str:
        return str(tokenizer.convert_ids_to_tokens(token_id))

    if rows.messages is not None:
        found_ids = encoded(tokenizer, rows.messages, boundary_of(tokenizer))
        return _of_documents(generating.windows_of(found_ids, max_length), pad_id, token)
    if _writes(folder):
        ids = token_ids(tokenizer, rows.texts)
        return _of_documents(generating.make_windows(ids, max_length, boundary_of(tokenizer)), pad_id, token)
    if rows.spans is not None and rows.pairs is not None:
        token_types = "token_type_ids" in tokenizer.model_input_names
        asked = answering.make_windows(cutter(tokenizer), rows.texts, rows.pairs, max_length, token_types)
        return _of_questions(asked, pad_id, token)
    if rows.tokens is not None:
        found = windows.make_windows(tokenizer, rows.tokens, max_length, windows.overlap_of(max_length))
        return _of_windows(found, pad_id, token)
    return EncodedSplit(tokenize(tokenizer, rows, max_length), pad_id, token)


def answer(
    folder: Path, form: Backend, reading: EncodedSplit, *, batch_size: int, providers: Sequence[str], threads: int
) -> Answers:
    """Logits [rows, labels] float32, in the order of the rows, of the model in a folder, less that of its threshold
    where it has one, so that above 0 a label is given; of sentences, `Ragged` ones [rows, words of each, labels].

    Rows are batched by length: padding is masked but not free, and what a dynamically quantised model answers depends a
    little on its batch, as one activation scale serves all of it. The same reading gives the same batches.
    """
    one_batch = (
        _open_onnx(folder, list(providers), threads)
        if form == "onnxruntime"
        else _open_pytorch(load_as(folder, form), list(providers))
    )
    if reading.documents is not None:
        batches = runtime.batches(reading.text.lengths.tolist(), _documents_at_once(folder, reading, batch_size))
        values = reading.documents.answers(batches, lambda indices: one_batch(reading, indices))
        return ByToken(values, reading.documents.tokens)
    batches = runtime.batches(reading.text.lengths.tolist(), batch_size)
    if reading.questions is not None:
        least = answering.read_threshold(folder)
        return reading.questions.answers(batches, lambda indices: one_batch(reading, indices), least)
    if reading.windows is not None:
        by_word = reading.windows.logits(batches, lambda indices: one_batch(reading, indices))
        return Ragged(by_word, reading.windows.words)
    answered = np.concatenate([one_batch(reading, indices) for indices in batches])
    logits = np.empty_like(answered, dtype=np.float32)
    logits[np.concatenate(batches)] = answered
    threshold = runtime.read_threshold(folder)
    return logits if threshold is None else logits - np.float32(logit(threshold))


def embed(
    folder: Path, rows: Rows, *, max_length: int, batch_size: int, providers: Sequence[str], threads: int
) -> np.ndarray:
    """What a graph gives that has vectors in place of answers (`drift.embed`), fp64 [rows, width]: that of each row, or
    the mean of those of its tokens, in all its windows."""
    reading = read(folder, rows, max_length)
    lengths, of = reading.text.lengths, reading.text.sources
    of = np.arange(len(lengths)) if of is None else of
    one_batch = _open_onnx(folder, list(providers), threads)
    sums, counts = np.zeros((len(rows), 0)), np.zeros((len(rows), 1))
    for indices in runtime.batches(lengths.tolist(), batch_size):
        found = one_batch(reading, indices).astype(np.float64)
        if found.ndim > 2:
            there = np.arange(found.shape[1]) < lengths[indices][:, None]
            found = (found * there[..., None]).sum(axis=1)
            np.add.at(counts, of[indices], lengths[indices][:, None])
        else:
            np.add.at(counts, of[indices], 1)
        sums = sums if sums.shape[1] else np.zeros((len(rows), found.shape[1]))
        np.add.at(sums, of[indices], found)
    return sums / np.maximum(counts, 1)


def load_as(folder: Path, form: Backend) -> PreTrainedModel:
    """The checkpoint in a folder as it is, or with the roundings that `quantization.json` beside it describes."""
    model = load_model(folder)
    return attach(model, read_plan(folder)) if form == "fake-quantised" else model


def session_inputs(names: Sequence[str], batch: Batch) -> dict[str, np.ndarray]:
    """A batch as the inputs of an ONNX graph; token types are 0 where it wants them and the tokenizer gives none."""
    given = {"token_type_ids": torch.zeros_like(batch["input_ids"]), **batch}
    return {name: given[name].numpy() for name in names}


def _of_windows(found: Windows, pad_id: int, token: Callable[[int], str]) -> EncodedSplit:
    """Sentences that are windows already."""
    text = TokenizedText(found.ids, found.offsets, found.type_ids, np.full(len(found), -1, np.int64))
    text = replace(text, sources=found.sentences)
    return EncodedSplit(text, pad_id, token, found)


def _of_questions(found: answering.Windows, pad_id: int, token: Callable[[int], str]) -> EncodedSplit:
    """Questions and contexts that are windows already."""
    text = TokenizedText(found.ids, found.offsets, found.type_ids, np.full(len(found), -1, np.int64))
    return EncodedSplit(replace(text, sources=found.questions), pad_id, token, questions=found)


def _of_documents(found: generating.Windows, pad_id: int, token: Callable[[int], str]) -> EncodedSplit:
    """Documents that are windows already."""
    text = TokenizedText(found.ids, found.offsets, None, np.full(len(found), -1, np.int64))
    return EncodedSplit(replace(text, sources=found.documents), pad_id, token, documents=found)


def _documents_at_once(folder: Path, reading: EncodedSplit, batch_size: int) -> int:
    """Windows in a batch: as many as asked for, as far as their logits are no more than `LOGITS_AT_ONCE`."""
    vocabulary = int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    longest = int(reading.text.lengths.max(initial=1))
    return max(1, min(batch_size, LOGITS_AT_ONCE // (vocabulary * longest)))


def _writes(folder: Path) -> bool:
    """Whether the checkpoint in a folder is a language model's."""
    return learning_of(check_config(folder)).name == "text-generation"


def _read_as_served(folder: Path, rows: Rows) -> EncodedSplit:
    if runtime.read_text_settings(folder).task == "text-generation":
        documents = DocumentReader(folder, runtime=runtime, chat=chat)
        return _of_documents(
            documents.read(rows.texts) if rows.messages is None else documents.read_conversations(rows.messages),
            documents.pad_id,
            lambda token_id: str(documents.tokenizer.id_to_token(token_id)),
        )
    if rows.spans is not None and rows.pairs is not None:
        asked = answering.QuestionReader(folder, runtime=runtime)
        return _of_questions(
            asked.read(rows.texts, rows.pairs),
            asked.pad_id,
            lambda token_id: str(asked.tokenizer.id_to_token(token_id)),
        )
    if rows.tokens is not None:
        sentences = SentenceReader(folder, runtime=runtime, windows=windows)
        return _of_windows(
            sentences.read(rows.tokens),
            sentences.pad_id,
            lambda token_id: str(sentences.tokenizer.id_to_token(token_id)),
        )
    reader = runtime.TextReader(folder)
    found = reader.read(rows.texts, rows.pairs)
    lengths = [len(row.ids) for row in found]
    flat = [
        np.array([value for row in found for value in part(row)]) for part in (lambda r: r.ids, lambda r: r.type_ids)
    ]
    text = TokenizedText(
        ids=flat[0].astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        type_ids=flat[1].astype(np.int8) if reader.settings.token_types else None,
        labels=rows.labels,
    )
    return EncodedSplit(text, reader.pad_id, lambda token_id: str(reader.tokenizer.id_to_token(token_id)))


def _open_onnx(folder: Path, providers: list[str], threads: int) -> Answer:
    session = create_session(folder / "model.onnx", providers, threads or usable_cores())

    def one_batch(reading: EncodedSplit, indices: np.ndarray) -> np.ndarray:
        logits: np.ndarray = runtime.run(session, reading.rows(indices), reading.pad_id)
        return logits

    return one_batch


def _open_pytorch(model: PreTrainedModel, providers: list[str]) -> Answer:
    device = torch.device("cuda" if providers[0] != "cpu" and torch.cuda.is_available() else "cpu")
    torch.nn.Module.to(model, device)

    def one_batch(reading: EncodedSplit, indices: np.ndarray) -> np.ndarray:
        inputs = {name: values.to(device) for name, values in model_inputs(reading.batch(indices)).items()}
        with torch.inference_mode():
            output = model(**inputs)
        logits = [output[name].float().cpu().numpy() for name in learning_of(model.config).outputs]
        return logits[0] if len(logits) == 1 else np.stack(logits, axis=-1)

    return one_batch
