"""How a model that answers questions learns: cross-entropy of an answer's first and last token, and there the teacher's
predictions.

A row is a window of a question's context (see `answering`); one that does not hold the answer has none.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForQuestionAnswering, PreTrainedModel, PreTrainedTokenizerBase

from hone.configs.recipe import Objective
from hone.tasks.model.text import (
    NO_TARGET,
    Batch,
    Finished,
    Output,
    Rows,
    TokenizedText,
    make_batch,
    model_inputs,
    sequential_batches,
)
from hone.tasks.objectives.divergence import softened_divergence
from hone.tasks.objectives.question_answering.answering import (
    NEVER,
    THRESHOLD_NAME,
    Windows,
    best_spans,
    make_windows,
    margins,
)
from hone.tasks.objectives.question_answering.baseline import scores_of
from hone.tasks.objectives.question_answering.threshold import best_threshold

UNKNOWN = -1
"""Of a token of a question to which the teacher alone knows the answer."""
STARTS, ENDS = 1, 2
"""Flags of a token: that the answer begins there, and that it ends there. 0 is any other token that could be of one."""
OUTSIDE = -1e4
"""Logit of a token that no answer can be of."""
ROWS_AT_ONCE = 64
COUNTED = ("loss", "windows", "exact_match", "f1", "silent")


class QuestionAnswering:
    """One answer out of a context (see `objectives.learning.Learning`). `output` has `start_logits` and `end_logits`,
    [rows, length] each. Only tokens of the context, and the first one, which stands for no answer, have a part in them.

    Validation counts windows by their tokens: whether the span is the true one, and F1 of its places. The test, and the
    threshold of no answer, go by whole questions and their words.
    """

    name: Objective = "question-answering"
    primary: str = "f1"
    by_token: bool = True
    by_word: bool = False
    rows_at_once: int = 64
    auto_model: Any = AutoModelForQuestionAnswering
    problem_type: str | None = None
    outputs: tuple[str, ...] = ("start_logits", "end_logits")

    def config_labels(self, labels: list[str]) -> dict[str, Any]:
        """The head has two outputs; by chance there are as many kinds of questions, and their names are kept there."""
        return {
            "num_labels": 2,
            "id2label": dict(enumerate(labels)),
            "label2id": {name: index for index, name in enumerate(labels)},
            THRESHOLD_NAME: NEVER,
        }

    def begin(self, model: PreTrainedModel, train: TokenizedText) -> None:
        """Nothing."""

    def encode(self, tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int) -> TokenizedText:
        """Questions as windows. A token's label is its flags; `UNKNOWN` where the row has no label; tokens of the
        question and special ones have no target."""
        if rows.pairs is None or rows.spans is None:
            raise ValueError("these rows have no contexts to answer questions from: set data.context_column")
        windows = _windows(tokenizer, rows, max_length)
        spans = windows.spans(rows.spans)
        labels = np.where(windows.starts >= 0, 0, NO_TARGET)
        labels[windows.offsets[:-1]] = 0
        unknown = np.repeat(rows.labels[windows.questions] < 0, windows.lengths)
        for index, flag in enumerate((STARTS, ENDS)):
            labels[windows.offsets[:-1] + spans[:, index]] += flag
        labels[unknown & (labels != NO_TARGET)] = UNKNOWN
        return TokenizedText(
            ids=windows.ids,
            offsets=windows.offsets,
            type_ids=windows.type_ids,
            labels=labels.astype(np.int64),
            by_token=True,
            sources=windows.questions,
        )

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """`-log p(first token) / 2 - log p(last token) / 2` [rows]."""
        labels = batch["labels"]
        known = self.labelled(batch)
        total = torch.zeros(len(labels), device=labels.device)
        for logits, flag in zip(_masked(output, labels), (STARTS, ENDS), strict=True):
            index = ((labels.clamp(min=0) & flag) > 0).long().argmax(dim=1)
            total = total + F.cross_entropy(logits, index, reduction="none").to(total.dtype) / 2
        return torch.where(known, total, torch.zeros_like(total))

    def labelled(self, batch: Batch) -> Tensor:
        return (batch["labels"] >= 0).any(dim=1)

    def targets(self, output: Output, batch: Batch) -> Tensor:
        """The logits of each token [rows, length, 2]."""
        return torch.stack([output.start_logits, output.end_logits], dim=-1).float()

    def distillation_loss(self, output: Output, targets: Tensor, batch: Batch, temperature: float) -> Tensor:
        """Mean of the divergences of the first and of the last token."""
        labels = batch["labels"]
        total = torch.zeros(len(labels), device=labels.device)
        for index, logits in enumerate(_masked(output, labels)):
            theirs = targets[..., index].masked_fill(labels == NO_TARGET, OUTSIDE)
            total = total + softened_divergence(logits, theirs, temperature) / 2
        return total

    def validation(self, output: Output, batch: Batch) -> Tensor:
        """Loss, windows, exact matches, F1, and windows with no answer predicted: [5], of windows with a label."""
        known = self.labelled(batch)
        exact, f1, silent = _counts(output, batch)
        loss = self.loss(output, batch).double()
        sums = (loss, known.double(), exact, f1, silent)
        return torch.stack([(values * known).sum().double() for values in sums])

    def validation_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        found = dict(zip(COUNTED, sums, strict=True))
        count = max(found["windows"], 1)
        return {name: found[name] / count for name in ("f1", "exact_match", "loss")}

    def config_chosen(self, sums: Sequence[float]) -> dict[str, Any]:
        """Nothing: the sums are of windows, and the threshold is of questions."""
        return {}

    def config_measured(self, finished: Finished, validation: Callable[[], Rows], max_length: int) -> dict[str, Any]:
        """The threshold of no answer with the largest F1 on validation; none where all its questions have answers."""
        rows = validation()
        if rows.pairs is None or rows.spans is None or all(rows.spans):
            return {THRESHOLD_NAME: NEVER}
        model, tokenizer = finished()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model.to(device).eval()
        windows, text = _windows(tokenizer, rows, max_length), self.encode(tokenizer, rows, max_length)

        def logits(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            batch = make_batch(text, indices, int(tokenizer.pad_token_id), device)
            with torch.inference_mode():
                found: npt.NDArray[np.float32] = self.targets(model(**model_inputs(batch)), batch).cpu().numpy()
            return found

        answers = windows.answers(sequential_batches(text.lengths, ROWS_AT_ONCE), logits, NEVER)
        if not np.isfinite(answers).all():
            return {THRESHOLD_NAME: NEVER}
        answered, silent = scores_of(answers, rows.pairs, rows.spans)
        return {THRESHOLD_NAME: best_threshold(margins(answers), answered, silent)[0]}

    def row_scores(self, output: Output, batch: Batch) -> Tensor:
        """F1 of the places of the span's tokens."""
        return _counts(output, batch)[1]

    def degenerate(self, sums: Sequence[float], labels: list[str]) -> str:
        """Said of more than one window that are all said to hold no answer, of which some do."""
        found = dict(zip(COUNTED, sums, strict=True))
        count = int(found["windows"])
        if count < 2 or found["silent"] < count or found["exact_match"] == count:
            return ""
        return f"says of all {count:,} windows of the validation split that they hold no answer"


def cutter(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """A copy of what lies behind a tokenizer of transformers, which may be set to cut otherwise."""
    copied = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copied.encode_special_tokens = bool(tokenizer.split_special_tokens)
    return copied


def _windows(tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int) -> Windows:
    token_types = "token_type_ids" in tokenizer.model_input_names
    return make_windows(cutter(tokenizer), rows.texts, rows.pairs or [], max_length, token_types)


def _masked(output: Output, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of first and last tokens [rows, length], in fp32 or fp64, of those tokens alone that an answer can be
    of."""
    precision = torch.float64 if output.start_logits.dtype == torch.float64 else torch.float32
    outside = labels == NO_TARGET
    start, end = output.start_logits.to(precision), output.end_logits.to(precision)
    return start.masked_fill(outside, OUTSIDE), end.masked_fill(outside, OUTSIDE)


def _counts(output: Output, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row [rows] fp64: whether the span is the true one, F1 of its places, and whether it is no answer."""
    labels = batch["labels"].cpu().numpy()
    start, end = (logits.detach().double().cpu().numpy() for logits in _masked(output, batch["labels"]))
    inside = labels != NO_TARGET
    inside[:, 0] = False
    first, last, score = best_spans(start, end, inside)
    silent = start[:, 0] + end[:, 0] >= score
    first, last = np.where(silent, 0, first), np.where(silent, 0, last)
    flags = np.maximum(labels, 0)
    begin, finish = ((flags & flag > 0).argmax(axis=1) for flag in (STARTS, ENDS))
    exact = (first == begin) & (last == finish)
    common = np.minimum(last, finish) - np.maximum(first, begin) + 1
    both = (last - first + 1) + (finish - begin + 1)
    f1 = 2 * np.maximum(common, 0) / both
    found = (torch.from_numpy(values.astype(np.float64)) for values in (exact, f1, silent))
    device = batch["labels"].device
    one, other, third = (values.to(device) for values in found)
    return one, other, third
