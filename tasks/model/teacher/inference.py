"""Asks the teacher about every training row and its perturbed copies, once."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as arrow
import torch
from pyarrow import parquet
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.configs.recipe import Objective
from hone.configs.section import Precision
from hone.tasks.device import driver_device
from hone.tasks.errors import ModelError, PreflightError
from hone.tasks.model.architectures.layers import SUPPORTED, LayerModules, layer_modules
from hone.tasks.model.architectures.linears import matrix
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.teacher.augment import Neighbours, augment, augment_words, word_neighbours
from hone.tasks.model.teacher.token_file import TokenFile
from hone.tasks.model.text import (
    Labels,
    Rows,
    TokenizedText,
    make_batch,
    model_inputs,
    read_split,
    sequential_batches,
    token_marks,
    unknown,
)
from hone.tasks.model.tokenized import IN_MEMORY, Split, TokenizedSplits
from hone.tasks.model.training.optimizer import arithmetic
from hone.tasks.objectives.learning import learning

Progress = Callable[[float, float, str], None]
"""Rows done, rows in all, what is being done."""


@dataclass(frozen=True)
class TeacherInferenceConfig:
    """What the teacher is asked."""

    teacher: Path
    """Folder of its checkpoint."""
    data: Path
    """Folder of the prepared data."""
    asked: Path | None
    """File of the rows, where it has been asked about them before; None: they are drawn, and written down."""
    copies: int
    """Perturbed copies of each training text."""
    max_length: int
    """Tokens per row; longer text is cut."""
    seed: int
    """Of the copies."""
    precision: Precision
    """Arithmetic of the forward pass."""
    task: Objective
    """What it answers."""
    splits: TokenizedSplits = IN_MEMORY
    """Where the tokenized rows are kept."""


def run_teacher(
    question: TeacherInferenceConfig, names: list[str], into: Path, on_progress: Progress
) -> dict[str, object]:
    """Writes the files `names` (see `outputs`) into a folder.

    Returns:
        What the files do not say: the teacher's `mask_token`, `heads` of its last layer (0 where its architecture
        does not show them), and whether it has an answer `by_token`.

    Raises:
        ModelError: when a layer is wanted that the teacher does not have.
        PreflightError: when the disk has no room for them.
    """
    device, objective = torch.device(driver_device()), learning(question.task)
    tokenizer = load_tokenizer(question.teacher)
    teacher = load_model(question.teacher)
    teacher.to(device)  # type: ignore[arg-type]  # transformers hides the signature
    known, relations = teacher.config.model_type in SUPPORTED, "relations.npy" in names
    last = layer_modules(teacher)[-1] if known or relations else None
    layers = _layers(names, teacher.config.num_hidden_layers)
    asked = question.asked or _draw_rows(question, teacher, tokenizer, into / "train.parquet")
    text = question.splits.read(Split(asked, tokenizer, question.max_length, question.task))
    if "offsets.npy" in names:
        np.save(into / "offsets.npy", text.offsets)
    if "tokens.npy" in names:
        np.save(into / "tokens.npy", token_marks(tokenizer, text))
    widths = dict.fromkeys(layers, teacher.config.hidden_size)
    if last is not None and relations:
        widths["relations.npy"] = 3 * matrix(last.projections[0]).shape[0]
    files = _reserve(into, int(text.offsets[-1]), {name: widths[name] for name in names if name in widths})
    answers = _Answers(into / "logits.npy" if "logits.npy" in names else None, text)
    done = 0
    for rows_asked in sequential_batches(text.lengths, objective.rows_at_once):
        batch = make_batch(text, rows_asked, tokenizer.pad_token_id, device)
        with torch.no_grad(), arithmetic(question.precision, device), recorded(last if relations else None) as vectors:
            answer = teacher(**model_inputs(batch), output_hidden_states=bool(layers))
        answers.write(rows_asked, objective.targets(answer, batch).cpu().numpy())
        for name, file in files.items():
            hidden = name in layers
            values = _half(answer.hidden_states[layers[name] + 1] if hidden else torch.cat(vectors, dim=-1))
            for row, found in zip(rows_asked, values, strict=True):
                file.write(int(text.offsets[row]), found[: text.lengths[row]])
        done += len(rows_asked)
        on_progress(done, len(text), "running the teacher")
    for file in files.values():
        file.close()
    answers.close()
    heads = last.heads if last is not None else 0
    return {"mask_token": tokenizer.mask_token, "heads": heads, "by_token": answers.by_token}


class _Answers:
    """The file of what the task keeps of each answer; the first batch tells how wide it is."""

    def __init__(self, path: Path | None, text: TokenizedText) -> None:
        """
        Args:
            path: None where the file is not wanted.
        """
        self.by_token = False
        self._path, self._text = path, text
        self._file: TokenFile | None = None

    def write(self, rows: npt.NDArray[np.int64], targets: npt.NDArray[np.float32]) -> None:
        """Adds those of a batch, [rows, width] or [rows, length, width]."""
        offsets, self.by_token = self._text.offsets, targets.ndim > 2
        if self._path is None:
            return
        if self._file is None:
            count = int(offsets[-1]) if self.by_token else len(self._text)
            self._file = TokenFile.create(self._path, count, targets.shape[-1], np.float32)
        for row, target in zip(rows.tolist(), targets, strict=True):
            if self.by_token:
                self._file.write(int(offsets[row]), target[: offsets[row + 1] - offsets[row]])
            else:
                self._file.write(row, target)

    def close(self) -> None:
        """Everything written is in the file."""
        if self._file is not None:
            self._file.close()


def with_copies(rows: Rows, copies: int, seed: int, mask_token: str | None, neighbours: Neighbours) -> Rows:
    """The rows, and after them their perturbed copies, without label or number, or with tags -1: only the teacher can
    tell."""
    if rows.tokens is not None and rows.tags is not None:
        words = augment_words(rows.tokens, copies, seed, mask_token, neighbours)
        return Rows(
            texts=rows.texts + [" ".join(several) for several in words],
            pairs=None,
            labels=np.full((copies + 1) * len(rows), -1, np.int64),
            tokens=rows.tokens + words,
            tags=rows.tags + [np.full(len(several), -1, np.int64) for several in words],
        )
    texts = augment(rows.texts, copies, seed, mask_token, neighbours)
    pairs = None if rows.pairs is None else augment(rows.pairs, copies, seed + 1, mask_token, neighbours)
    spans = None if rows.spans is None else rows.spans + [[] for _ in range(copies * len(rows))]
    return Rows(
        texts=rows.texts + texts,
        pairs=None if rows.pairs is None or pairs is None else rows.pairs + pairs,
        labels=np.concatenate([rows.labels, unknown(rows.labels, copies * len(rows))]),
        spans=spans,
    )


@contextmanager
def recorded(layer: LayerModules | None) -> Iterator[list[Tensor]]:
    """Queries, keys and values [batch, length, width] of a layer, filled in when the block has run a forward pass; of
    None, nothing. DeBERTa passes its relative positions through the same matrices, after the tokens."""
    if layer is None:
        yield []
        return
    modules = layer.projections
    outputs: dict[nn.Module, Tensor] = {}
    vectors: list[Tensor] = []

    def keep(module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.setdefault(module, output)

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield vectors
        vectors.extend(outputs[module] for module in modules)
    finally:
        for handle in handles:
            handle.remove()


def _layers(names: list[str], count: int) -> dict[str, int]:
    layers = {name: int(name.removeprefix("hidden-").removesuffix(".npy")) for name in names if "hidden-" in name}
    absent = sorted(layer for layer in layers.values() if layer >= count)
    if absent:
        raise ModelError(
            f"layers {absent} of the teacher are to be matched, and it has {count} layers, counted from 0: "
            f"name some of 0 to {count - 1} in distill.layers"
        )
    return layers


def _reserve(into: Path, tokens: int, widths: dict[str, int]) -> dict[str, TokenFile]:
    """Files of their full size, once the disk is known to have room for all of them."""
    needed = 2 * tokens * sum(widths.values())
    free = shutil.disk_usage(into).free
    if needed > free:
        raise PreflightError(
            f"{into}: the teacher's outputs take {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: lower "
            "distill.augment, match fewer distill.layers, set distill.hidden_weight=0, or move compute.storage"
        )
    return {name: TokenFile.create(into / name, tokens, width) for name, width in widths.items()}


def _half(values: Tensor) -> npt.NDArray[np.float16]:
    """In fp16; the outliers of some encoders are cut to what fp16 holds."""
    largest = torch.finfo(torch.float16).max
    return np.asarray(values.float().clamp(-largest, largest).half().cpu().numpy())


def _label_columns(labels: Labels) -> dict[str, arrow.Array]:
    """What `read_split` makes these labels of."""
    if labels.ndim > 1:
        return {"flags": arrow.array(labels.tolist(), arrow.list_(arrow.int8()))}
    if np.issubdtype(labels.dtype, np.floating):
        return {"number": arrow.array(labels, arrow.float64())}
    return {"label": arrow.array(labels, arrow.int32())}


def _draw_rows(
    question: TeacherInferenceConfig, teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, path: Path
) -> Path:
    """The file of the rows that the teacher is asked about. Where there are no copies, it is the data stage's, and so
    is its content: it has been tokenized already."""
    if not question.copies:
        shutil.copyfile(question.data / path.name, path)
        return path
    rows = read_split(question.data, path.stem)
    table = teacher.get_input_embeddings().get_parameter("weight")
    neighbours = word_neighbours(tokenizer, table, [*rows.texts, *(rows.pairs or [])])
    return write_rows(with_copies(rows, question.copies, question.seed, tokenizer.mask_token, neighbours), path)


def write_rows(rows: Rows, path: Path) -> Path:
    """Writes rows as the data stage writes a split, so that `read_split` reads them."""
    table = arrow.table(
        {
            "text": arrow.array(rows.texts, arrow.string()),
            "pair": arrow.nulls(len(rows), arrow.string())
            if rows.pairs is None
            else arrow.array(rows.pairs, arrow.string()),
            **_label_columns(rows.labels),
        }
    )
    if rows.tokens is not None and rows.tags is not None:
        table = table.append_column("tokens", arrow.array(rows.tokens, arrow.list_(arrow.string())))
        table = table.append_column("tags", arrow.array(rows.tags, arrow.list_(arrow.int32())))
    if rows.spans is not None:
        for index, name in enumerate(("starts", "ends")):
            column = [[span[index] for span in several] for several in rows.spans]
            table = table.append_column(name, arrow.array(column, arrow.list_(arrow.int32())))
    if rows.messages is not None:
        told = [[message._asdict() for message in messages] for messages in rows.messages]
        table = table.append_column("messages", arrow.array(told))
    parquet.write_table(table, path)
    return path
