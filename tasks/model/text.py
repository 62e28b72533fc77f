"""Text as token ids, and token ids as batches: ragged rows kept flat, padded only batch by batch."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pyarrow import parquet

from hone.tasks.message import Message
from hone.tasks.text_key import text_key
from hone.tasks.words import words

Labels = npt.NDArray[Any]
"""What rows have: a label's id [rows] int64; a flag for each of the labels [rows, labels] int64, where they may have
several; or a number [rows] float64. -1, in all of a row's flags, or NaN where nobody has told."""

if TYPE_CHECKING:  # a run that finds everything finished reads the test split, and needs no torch for it
    import pyarrow
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

Batch = dict[str, "Tensor"]
"""`input_ids`, `attention_mask` [batch, length] int64, `token_type_ids` where the model takes them, `labels` int64 as
`TokenizedText.labels` has them ([batch], [batch, labels] where rows have several, or [batch, length] by token,
`NO_TARGET` at padding; numbers [batch] float32), `rows` [batch] int64: the rows' places in the split, `weights` [batch]
int64 where rows do not weigh 1 each."""
Finished = Callable[[], tuple[Any, "PreTrainedTokenizerBase"]]
"""Loads a model that has learned, and its tokenizer."""
Output = Any
"""What a model returns: transformers' ModelOutput, whose fields are its head's, such as `logits`."""

NO_TARGET = -100  # the label of a token that is asked for no answer, as torch's cross_entropy leaves it out
SPECIAL = ("cls_token", "sep_token", "pad_token", "mask_token", "unk_token")
MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
ROWS_AT_ONCE = 10_000  # tokenized at once: the lists of Python integers in between stay small
BATCHES_IN_A_BUCKET = 32  # sorted by length together: padding shrinks, and every epoch still mixes differently


@dataclass(frozen=True)
class Rows:
    """One split as the data stage wrote it."""

    texts: list[str]
    pairs: list[str] | None
    """Second texts, where the task has pairs."""
    labels: Labels
    slices: dict[str, list[str]] = field(default_factory=dict)
    """Values of data.slice_columns, by column [rows]."""
    tokens: list[list[str]] | None = None
    """The words of each sentence, where the data have such; `texts` is these with blanks between them."""
    tags: list[npt.NDArray[np.int64]] | None = None
    """The tag of each word, by its id, [words] for each sentence; `labels` is -1 then."""
    spans: list[list[tuple[int, int]]] | None = None
    """First character and end of each answer in `pairs`, where `texts` are questions about these. Of one without an
    answer there is none, and `labels` is 1; of a perturbed copy, of which only the teacher knows, -1."""
    messages: list[list[Message]] | None = None
    """Of conversations, their messages up to the last answer; `texts` is what people said in them."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Which rows have a label, or tags [rows]; of the others, perturbed copies, only the teacher knows."""
        if self.tags is None:
            return known(self.labels)
        return np.array([len(tags) > 0 and bool(tags[0] >= 0) for tags in self.tags], np.bool_)

    def pick(self, indices: Sequence[int]) -> "Rows":
        """The rows at these places, in their order."""
        return Rows(
            texts=[self.texts[index] for index in indices],
            pairs=None if self.pairs is None else [self.pairs[index] for index in indices],
            labels=self.labels[list(indices)],
            slices={name: [values[index] for index in indices] for name, values in self.slices.items()},
            tokens=None if self.tokens is None else [self.tokens[index] for index in indices],
            tags=None if self.tags is None else [self.tags[index] for index in indices],
            spans=None if self.spans is None else [self.spans[index] for index in indices],
            messages=None if self.messages is None else [self.messages[index] for index in indices],
        )


@dataclass(frozen=True)
class TokenizedText:
    """One split as token ids: row i is `ids[offsets[i]:offsets[i + 1]]`. Of a kept split the arrays are maps of its
    files, of which a batch reads its rows alone (see `tokenized`)."""

    ids: npt.NDArray[np.int32]
    """[tokens]."""
    offsets: npt.NDArray[np.int64]
    """[rows + 1]."""
    type_ids: npt.NDArray[np.int8] | None
    """[tokens], where the model takes token types."""
    labels: Labels
    """Of each row, or [tokens] with `by_token`; -1 where only the teacher knows, `NO_TARGET` at tokens that do not
    count."""
    by_token: bool = False
    """Whether each token has a label of its own."""
    weights: npt.NDArray[np.int64] | None = None
    """What each row counts for in a loss [rows], such as its tokens that have a target; None: 1 each."""
    sources: npt.NDArray[np.int64] | None = None
    """The place in `Rows` that each row is of [rows], in rising order, where a long one becomes several; None: its
    own."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Which rows have labels, [rows]; the others only the teacher knows."""
        if not self.by_token or not len(self):
            return known(self.labels)
        result: npt.NDArray[np.bool_] = np.maximum.reduceat(self.labels, self.offsets[:-1]) >= 0
        return result

    def weight_of(self, rows: npt.NDArray[np.int64]) -> int:
        """What these rows weigh together: the sum of their losses is divided by it.

        Args:
            rows: places in the split [batch].
        """
        return len(rows) if self.weights is None else int(self.weights[rows].sum())

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row [rows]."""
        return np.diff(self.offsets)


def known(labels: Labels) -> npt.NDArray[np.bool_]:
    """Which rows [rows] have a label, or a number."""
    if np.issubdtype(labels.dtype, np.floating):
        return np.asarray(~np.isnan(labels))
    return np.asarray(labels >= 0 if labels.ndim == 1 else (labels >= 0).all(axis=1))


def unknown(labels: Labels, rows: int) -> Labels:
    """So many rows without a label, in the kind of these."""
    nothing = np.nan if np.issubdtype(labels.dtype, np.floating) else -1
    return np.full((rows, *labels.shape[1:]), nothing, labels.dtype)


def read_split(data_folder: Path, split: str, slice_columns: Sequence[str] = ()) -> Rows:
    """Reads `train`, `validation` or `test` of prepared data: columns text, pair (null where none), label and slices,
    of texts with several labels their flags, with a number that, of sentences tokens and tags, of questions starts and
    ends, and of conversations messages.

    Args:
        slice_columns: names of the slices' values, in the order they were written in.
    """
    table = parquet.read_table(data_folder / f"{split}.parquet")
    pairs, parts = table["pair"], table["slices"].to_pylist() if slice_columns else []
    return Rows(
        texts=table["text"].to_pylist(),
        pairs=None if pairs.null_count == len(pairs) else pairs.to_pylist(),
        labels=_labels(table),
        slices={name: [row[index] for row in parts] for index, name in enumerate(slice_columns)},
        tokens=table["tokens"].to_pylist() if "tokens" in table.column_names else None,
        tags=_ragged(table["tags"]) if "tags" in table.column_names else None,
        spans=spans_of(table) if "starts" in table.column_names else None,
        messages=messages_of(table) if "messages" in table.column_names else None,
    )


def texts_of(rows: Rows) -> list[str]:
    """The text of each row; of a pair, both texts in one."""
    return rows.texts if rows.pairs is None else [f"{a} {b}" for a, b in zip(rows.texts, rows.pairs, strict=True)]


def exclude_training_rows(rows: Rows, learned: Sequence[Rows]) -> list[int]:
    """Places of the rows whose text, or pair of texts, is in none of the splits that a model was trained or selected
    on: new data often hold the old. Another case, punctuation or other blanks make no other text."""
    known = {key for several in learned for key in _keys(several)}
    return [index for index, key in enumerate(_keys(rows)) if key not in known]


def word_counts(rows: Rows) -> npt.NDArray[np.int64]:
    """Words of each row [rows], in any script; of both texts of a pair together."""
    pairs = rows.pairs or [""] * len(rows)
    return np.array([len(words(text)) + len(words(pair)) for text, pair in zip(rows.texts, pairs, strict=True)])


def tokenize(tokenizer: "PreTrainedTokenizerBase", rows: Rows, max_length: int) -> TokenizedText:
    """Token ids with the model's special tokens; of a pair, the longer text is cut first, until `max_length` fits."""
    ids: list[npt.NDArray[np.int32]] = []
    types: list[npt.NDArray[np.int8]] = []
    lengths: list[int] = []
    with_types = "token_type_ids" in tokenizer.model_input_names
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = slice(start, start + ROWS_AT_ONCE)
        encoded = tokenizer(
            rows.texts[chunk],
            rows.pairs[chunk] if rows.pairs is not None else None,
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=with_types,
        )
        lengths.extend(len(row) for row in encoded["input_ids"])
        ids.extend(np.asarray(row, dtype=np.int32) for row in encoded["input_ids"])
        if with_types:
            types.extend(np.asarray(row, dtype=np.int8) for row in encoded["token_type_ids"])
    return TokenizedText(
        ids=np.concatenate(ids) if ids else np.zeros(0, np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        type_ids=(np.concatenate(types) if types else np.zeros(0, np.int8)) if with_types else None,
        labels=rows.labels,
    )


def token_names(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> list[str]:
    """How each token is written, as two vocabularies number the same ones differently; special tokens by what they are
    for, as they have other names."""
    roles = {getattr(tokenizer, f"{role}_id"): role for role in SPECIAL}
    return [roles.get(index) or str(tokenizer.convert_ids_to_tokens(index)) for index in ids]


def token_marks(tokenizer: "PreTrainedTokenizerBase", text: TokenizedText) -> npt.NDArray[np.uint32]:
    """A checksum of each token's name [tokens], by which the tokens of two vocabularies are compared."""
    used, indices = np.unique(text.ids, return_inverse=True)
    names = token_names(tokenizer, used.tolist())
    return np.array([zlib.crc32(name.encode()) for name in names], np.uint32)[indices]


def make_batch(text: TokenizedText, rows: npt.NDArray[np.int64], pad_id: int, device: "torch.device | str") -> Batch:
    """The given rows, padded on the right to the longest of them.

    Args:
        rows: places in the split [batch], in the order the batch is to have.
    """
    import torch

    starts, ends = text.offsets[rows], text.offsets[rows + 1]
    indices = starts[:, None] + np.arange(int((ends - starts).max()))
    present = indices < ends[:, None]
    indices = np.where(present, indices, 0)
    batch = {
        "input_ids": np.where(present, text.ids[indices], pad_id),
        "attention_mask": present,
        "labels": np.where(present, text.labels[indices], NO_TARGET) if text.by_token else text.labels[rows],
        "rows": rows,
    }
    numbers = {name: values.astype(np.float32) for name, values in batch.items() if values.dtype == np.float64}
    if text.type_ids is not None:
        batch["token_type_ids"] = np.where(present, text.type_ids[indices], 0)
    if text.weights is not None:
        batch["weights"] = text.weights[rows]
    whole = {name: values.astype(np.int64) for name, values in batch.items() if name not in numbers}
    return {name: torch.from_numpy(values).to(device) for name, values in {**whole, **numbers}.items()}


def model_inputs(batch: Batch) -> Batch:
    """The part of a batch that an encoder takes as its arguments."""
    return {name: batch[name] for name in MODEL_INPUTS if name in batch}


def bucketed_batches(
    lengths: npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[npt.NDArray[np.int64]]:
    """Shuffled batches of rows of similar length: each row once, the last rows in a smaller batch.

    They depend on seed and epoch alone, so that any number of workers shares the same ones. Rows in a batch are sorted
    by length; workers take every n-th.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    size = batch_size * BATCHES_IN_A_BUCKET
    batches: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(order), size):
        bucket = order[start : start + size]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches.extend(bucket[first : first + batch_size] for first in range(0, len(bucket), batch_size))
    return [batches[index] for index in rng.permutation(len(batches))]


def sequential_batches(lengths: npt.NDArray[np.int64], batch_size: int) -> list[npt.NDArray[np.int64]]:
    """Batches for evaluation: each row once, sorted by length, ties in order of the split."""
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _labels(table: "pyarrow.Table") -> Labels:
    if "number" in table.column_names:
        return np.asarray(table["number"].to_numpy(), np.float64)
    if "flags" in table.column_names:
        lists = table["flags"].combine_chunks()
        flat = lists.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat.reshape(len(lists), -1), np.int64)
    return np.asarray(table["label"].to_numpy(), np.int64)


def _ragged(column: "pyarrow.ChunkedArray") -> list[npt.NDArray[np.int64]]:
    """Lists of numbers, as an array each."""
    lists = column.combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    return np.split(flat, np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False))[:-1])


def spans_of(table: "pyarrow.Table") -> list[list[tuple[int, int]]]:
    """Of each question, first character and end of each answer."""
    both = zip(table["starts"].to_pylist(), table["ends"].to_pylist(), strict=True)
    return [list(zip(starts, ends, strict=True)) for starts, ends in both]


def messages_of(table: "pyarrow.Table") -> list[list[Message]]:
    """The messages of each conversation."""
    return [[Message(**message) for message in told] for told in table["messages"].to_pylist()]


def _keys(rows: Rows) -> list[bytes]:
    pairs = rows.pairs if rows.pairs is not None else [None] * len(rows)
    return [text_key(text, pair) for text, pair in zip(rows.texts, pairs, strict=True)]
