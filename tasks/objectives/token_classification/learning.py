"""How a tagger of words learns: cross-entropy at each word's first subword, and there the teacher's predictions.

A row is a window of a sentence (see `windows`), and weighs as many as the words that it answers for.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from hone.configs.recipe import Objective
from hone.tasks.model.text import NO_TARGET, Batch, Finished, Output, Rows, TokenizedText
from hone.tasks.objectives.divergence import softened_divergence
from hone.tasks.objectives.labels import named
from hone.tasks.objectives.token_classification.counts import METRICS
from hone.tasks.objectives.token_classification.runs import count_entities
from hone.tasks.objectives.token_classification.windows import make_windows, overlap_of

UNKNOWN = -1
"""Tag of a word that the teacher alone can tell."""


class TokenClassification:
    """One tag for each word (see `objectives.learning.Learning`). `output.logits` is [rows, length, tags].

    Validation counts entities as `counts` does, in each window among the words that it answers for: of an entity that
    two windows answer for, the part in the first one counts, true and predicted alike. The test counts whole sentences.
    """

    name: Objective = "token-classification"
    primary: str = "f1"
    by_token: bool = True
    by_word: bool = True
    rows_at_once: int = 64
    auto_model: Any = AutoModelForTokenClassification
    problem_type: str | None = None
    outputs: tuple[str, ...] = ("logits",)

    def config_labels(self, labels: list[str]) -> dict[str, Any]:
        return named(labels)

    def begin(self, model: PreTrainedModel, train: TokenizedText) -> None:
        """Nothing."""

    def encode(self, tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int) -> TokenizedText:
        """Sentences as windows. A word's tag is the label of its first subword, in the window that shows most around
        it; `UNKNOWN` where the rows have no tags; all other tokens have no target."""
        if rows.tokens is None:
            raise ValueError("these rows have no words, and each word is to have a tag: set data.tokens_column")
        windows = make_windows(tokenizer, rows.tokens, max_length, overlap_of(max_length))
        if rows.tags is not None:
            tags = [sentence.tolist() for sentence in rows.tags]
        else:
            tags = [[UNKNOWN] * len(words) for words in rows.tokens]
        return TokenizedText(
            ids=windows.ids,
            offsets=windows.offsets,
            type_ids=windows.type_ids,
            labels=windows.targets(tags),
            by_token=True,
            weights=windows.weights,
            sources=windows.sentences,
        )

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """`-log p(tag)` summed over the words [rows]."""
        known = batch["labels"].clamp(min=UNKNOWN)
        by_token = F.cross_entropy(output.logits.float().transpose(1, 2), known, ignore_index=UNKNOWN, reduction="none")
        return by_token.sum(dim=1)

    def labelled(self, batch: Batch) -> Tensor:
        return (batch["labels"] >= 0).any(dim=1)

    def targets(self, output: Output, batch: Batch) -> Tensor:
        """The logits of each token [rows, length, tags]."""
        logits: Tensor = output.logits
        return logits.float()

    def distillation_loss(self, output: Output, targets: Tensor, batch: Batch, temperature: float) -> Tensor:
        """Where words are answered for."""
        by_token = softened_divergence(output.logits, targets, temperature)
        return (by_token * (batch["labels"] != NO_TARGET)).sum(dim=1)

    def validation(self, output: Output, batch: Batch) -> Tensor:
        """Cross-entropy, words, entities of each type (true, predicted, correct), and how often each tag is predicted:
        [2 + 3 * types + tags]."""
        logits, labels = output.logits.float().double(), batch["labels"]
        predicted = logits[labels >= 0].argmax(dim=1)
        entities = _entities(predicted, batch, logits.shape[2]).sum(dim=0)
        loss = F.cross_entropy(logits[labels >= 0], labels[labels >= 0], reduction="sum")
        sums = [loss.reshape(1), loss.new_tensor([len(predicted)]), entities.flatten()]
        return torch.cat([*sums, torch.bincount(predicted, minlength=logits.shape[2])]).double()

    def validation_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        types = (len(sums) - 3) // 5
        entities = list(sums[2 : 2 + 3 * types])
        return {name: float(metric(entities)) for name, metric in METRICS.items()} | {"loss": sums[0] / max(sums[1], 1)}

    def config_chosen(self, sums: Sequence[float]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def config_measured(self, finished: Finished, validation: Callable[[], Rows], max_length: int) -> dict[str, Any]:
        """Nothing."""
        return {}

    def row_scores(self, output: Output, batch: Batch) -> Tensor:
        """Entities missed and made up, with a minus: of the row's entities and the predicted ones, those that are not
        in both."""
        predicted = output.logits[batch["labels"] >= 0].argmax(dim=1)
        true, found, correct = _entities(predicted, batch, output.logits.shape[2]).sum(dim=2).unbind(dim=1)
        return (2 * correct - true - found).double()

    def degenerate(self, sums: Sequence[float], labels: list[str]) -> str:
        """Said of more than one word that all get the same tag."""
        count = int(sums[1])
        given = [index for index, times in enumerate(sums[-len(labels) :]) if times]
        if len(given) != 1 or count < 2:
            return ""
        return f"predicts '{labels[given[0]]}' for all {count:,} words of the validation split"


def _entities(predicted: Tensor, batch: Batch, tags: int) -> Tensor:
    """Entities of each row [rows, 3, types].

    Args:
        predicted: tags of the words that have one [words].
    """
    labels = batch["labels"]
    rows = (labels >= 0).nonzero()[:, 0]
    return count_entities(rows, labels[labels >= 0], predicted, len(labels), (tags - 1) // 2)
