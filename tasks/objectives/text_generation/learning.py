"""How a language model learns: cross-entropy of the next token, and how far its predictions are from the teacher's."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from hone.configs.recipe import Objective
from hone.tasks.model.text import NO_TARGET, Batch, Finished, Output, Rows, TokenizedText
from hone.tasks.objectives.labels import named
from hone.tasks.objectives.text_generation.conversations import learned_rows
from hone.tasks.objectives.text_generation.packing import pack

KEPT = 64
"""Tokens that are kept of a teacher's prediction, the likeliest ones; all others are kept as one."""
CHARACTERS_AT_ONCE = 4_000_000
LEAST = 1e-7
"""Of the chance of all others, whose logarithm is taken."""
MOST_NATS = 700.0
"""Beyond this a perplexity is no float any more."""


class TextGeneration:
    """The next token of each (see `objectives.learning.Learning`). `output.logits` is [rows, length, vocabulary]; those
    at a token are of the one after it. Rows are blocks of packed documents (see `packing`), or conversations
    (see `conversations`)."""

    name: Objective = "text-generation"
    primary: str = "log_likelihood"
    """Mean of a token, in nats: as perplexity goes down it goes up, so that the best epoch by the one is the best by
    the other."""
    by_token: bool = True
    by_word: bool = False
    rows_at_once: int = 4
    auto_model: Any = AutoModelForCausalLM
    problem_type: str | None = None
    outputs: tuple[str, ...] = ("logits",)

    def config_labels(self, labels: list[str]) -> dict[str, Any]:
        """A language model's head is its vocabulary; the name of what the data hold is kept here."""
        return named(labels)

    def begin(self, model: PreTrainedModel, train: TokenizedText) -> None:
        """Nothing."""

    def encode(self, tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int) -> TokenizedText:
        """Documents in blocks, parted by the tokenizer's end-of-sequence token, which are cut nowhere; conversations in
        rows of their own, whose answers are the targets."""
        if rows.messages is not None:
            return learned_rows(tokenizer, rows.messages, max_length, boundary_of(tokenizer))
        return pack(token_ids(tokenizer, rows.texts), max_length, boundary_of(tokenizer))

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """`-log p(next token)`, summed over each row's tokens [rows]."""
        labels = batch["labels"]
        logits = _precise(output.logits).flatten(0, 1)  # with the vocabulary in the middle it takes four times as long
        by_token = F.cross_entropy(logits, labels.flatten(), ignore_index=NO_TARGET, reduction="none")
        return by_token.view(labels.shape).sum(dim=1)

    def labelled(self, batch: Batch) -> Tensor:
        return (batch["labels"] >= 0).any(dim=1)

    def targets(self, output: Output, batch: Batch) -> Tensor:
        """Of each token's prediction the `KEPT` likeliest tokens' log-probabilities and their ids, and the logarithm of
        what is left for all others [rows, length, 2 * kept + 1]. The whole of it would take as many numbers as the
        vocabulary has tokens."""
        chances = F.log_softmax(output.logits.float(), dim=-1)
        kept = chances.topk(min(KEPT, chances.shape[-1]), dim=-1)
        return torch.cat([kept.values, kept.indices.float(), _rest(kept.values)], dim=-1)

    def distillation_loss(self, output: Output, targets: Tensor, batch: Batch, temperature: float) -> Tensor:
        """KL(teacher || student) of each next token, summed over the row [rows], with all tokens but those kept taken
        as one: it is no more than the whole divergence, and as much where the vocabulary is kept. A temperature would
        need the teacher's other logits, and none is used.

        Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531, at T = 1; Kim and Rush 2016, arXiv:1606.07947 (by
        token).
        """
        size = targets.shape[-1] // 2
        logits = _precise(output.logits)
        theirs, ids, rest = targets.to(logits.dtype).split([size, size, 1], dim=-1)
        own = F.log_softmax(logits, dim=-1).gather(-1, ids.long())
        student, teacher = torch.cat([own, _rest(own)], dim=-1), torch.cat([theirs, rest], dim=-1)
        apart = (teacher.exp() * (teacher - student)).sum(dim=-1)
        return torch.where(batch["labels"] >= 0, apart, torch.zeros_like(apart)).sum(dim=1)

    def validation(self, output: Output, batch: Batch) -> Tensor:
        """Loss, tokens, tokens that are the first choice, and the loss of drawing each from the whole vocabulary."""
        there = batch["labels"] != NO_TARGET
        right = (output.logits.argmax(dim=-1) == batch["labels"]) & there
        tokens = there.sum().double()
        drawn = tokens * math.log(output.logits.shape[-1])
        return torch.stack([self.loss(output, batch).double().sum(), tokens, right.sum().double(), drawn])

    def validation_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        loss, tokens = sums[0] / max(sums[1], 1), max(sums[1], 1)
        return {
            "log_likelihood": -loss,
            "perplexity": math.exp(min(loss, MOST_NATS)),
            "next_token_accuracy": sums[2] / tokens,
            "loss": loss,
        }

    def config_chosen(self, sums: Sequence[float]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def config_measured(self, finished: Finished, validation: Callable[[], Rows], max_length: int) -> dict[str, Any]:
        """Nothing."""
        return {}

    def row_scores(self, output: Output, batch: Batch) -> Tensor:
        """Mean log likelihood of the row's tokens."""
        tokens = (batch["labels"] != NO_TARGET).sum(dim=1).clamp(min=1)
        return -self.loss(output, batch).double() / tokens

    def degenerate(self, sums: Sequence[float], labels: list[str]) -> str:
        """Said of a model that predicts no better than by drawing from its vocabulary."""
        loss, tokens, _right, drawn = sums
        if tokens and loss < drawn:
            return ""
        return f"predicts the {int(tokens):,} validation tokens no better than by drawing from its vocabulary"


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
    """Token ids of each text, without special tokens and cut nowhere; some megabytes are tokenized at once, as lists of
    Python integers take ten times the room of the text."""
    result: list[npt.NDArray[np.int32]] = []
    start = 0
    while start < len(texts):
        end, size = start, 0
        while end < len(texts) and (end == start or size + len(texts[end]) <= CHARACTERS_AT_ONCE):
            size += len(texts[end])
            end += 1
        found = tokenizer(list(texts[start:end]), add_special_tokens=False, verbose=False)["input_ids"]
        result.extend(np.asarray(ids, np.int32) for ids in found)
        start = end
    return result


def boundary_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the token between documents.

    Raises:
        ValueError: when the tokenizer has no end-of-sequence token.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no end-of-sequence token, by which documents are parted: set eos_token in "
            "tokenizer_config.json"
        )
    return int(tokenizer.eos_token_id)


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _rest(kept: Tensor) -> Tensor:
    """The logarithm of what log-probabilities [..., kept] leave for all others [..., 1]."""
    return (1 - kept.exp().sum(dim=-1, keepdim=True)).clamp(min=LEAST).log()
