"""How language models are judged: the likelihood of each token of a document, or of the answers of a conversation, and
the token they would have chosen.

Answers are `ByToken` numbers [documents, tokens of each, WIDTH] as `generating` has them; of a model without tokens,
such as the baseline, one item a document with the loss of all of it. Rows are documents: of the windows that a long one
is read in, nothing is left here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.differences import compare_forms
from hone.tasks.objectives.judging import Baseline, FormDifference, Mask, Score
from hone.tasks.objectives.metric import Metric, Statistics
from hone.tasks.objectives.ragged import ByToken, Ragged
from hone.tasks.objectives.text_generation import baseline
from hone.tasks.objectives.text_generation.generating import CHOICE, NLL, NORM, TOP, WIDTH
from hone.tasks.objectives.text_generation.metrics import (
    BROKEN,
    BYTES,
    KEPT,
    LOSS,
    METRICS,
    MOST_NATS,
    TOKENS,
    worst_loss,
)
from hone.tasks.objectives.text_generation.ngrams import shared_runs
from hone.tasks.objectives.text_generation.targets import choices_of, pack, sizes_of, with_choices

if TYPE_CHECKING:
    from hone.configs.delivery import EvaluateSettings
    from hone.tasks.message import Message
    from hone.tasks.model.text import Rows

NUMBERS = [NLL, TOP, NORM]
"""Those of a token that are logits or sums of them: two forms of a model are compared in them."""
NO_CHOICE = -1.0
"""In place of a token's id, of a model without tokens."""


class TextGeneration:
    """The next token of documents. The first of equal logits is the choice."""

    metrics: Mapping[str, Metric] = METRICS
    primary = "perplexity"
    baseline_title = "byte n-grams"
    baseline_runtime = "n-grams"

    def targets(self, rows: "Rows") -> Ragged:
        """Bytes of each document, or of the answers of each conversation, as `targets.pack` writes them."""
        return pack(rows.texts if rows.messages is None else [_answers(messages) for messages in rows.messages])

    def with_reference(self, targets: Ragged, reference: Ragged) -> Ragged:
        """With the reference's first choices, which also say whose tokens a perplexity is of."""
        return with_choices(targets, reference)

    def statistics(self, answers: Ragged, targets: Ragged) -> Statistics:
        """float64 [documents, 5], as `metrics` names them. Without a reference, tokens are the model's own. A document
        with an answer that is no number counts as if its bytes were drawn."""
        choices, sizes = choices_of(targets), sizes_of(targets)
        result = np.zeros((len(targets), 5))
        result[:, BYTES] = sizes
        result[:, TOKENS] = answers.lengths if choices is None else choices.lengths
        broken = answers.largest((~np.isfinite(answers.values).all(axis=1)).astype(np.int64)) > 0
        losses = np.nan_to_num(answers.values[:, NLL].astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        rows = np.repeat(np.arange(len(answers)), answers.lengths)
        result[:, LOSS] = np.where(broken, worst_loss(sizes), np.bincount(rows, losses, len(answers)))
        if choices is not None and np.array_equal(choices.offsets, answers.offsets):
            same = answers.values[:, CHOICE] == choices.values
            result[:, KEPT] = np.where(broken, 0, np.bincount(rows, same, len(answers)))
        result[:, BROKEN] = broken
        return result

    def unanswered(self, statistics: Statistics) -> Mask:
        """Documents with an answer that is no number."""
        return np.asarray(statistics[:, BROKEN] > 0)

    def score(self, answers: Ragged, targets: Ragged, settings: "EvaluateSettings") -> Score:
        """The metrics; agreement of a model alone that has the reference's tokens. A model that answers NaN or infinity
        has none of them: the gate then refuses it for what is missing."""
        statistics = self.statistics(answers, targets)
        if broken := int(self.unanswered(statistics).sum()):
            return Score({"nonfinite_rows": float(broken)}, [])
        choices = choices_of(targets)
        chooses = choices is not None and np.array_equal(choices.offsets, answers.offsets)
        named = {name: metric for name, metric in self.metrics.items() if name != "agreement" or chooses}
        return Score({name: metric.of(statistics) for name, metric in named.items()}, [])

    def slices(
        self,
        targets: Ragged,
        labels: Sequence[str],
        rows: "Rows | None" = None,
        train: "Callable[[], Rows] | None" = None,
    ) -> dict[str, Mask]:
        """Documents with a run of words that training has, and those without one, where there are both: a model may
        know the former by heart."""
        if rows is None or train is None:
            return {}
        seen = shared_runs(train().texts, rows.texts)[0] > 0
        both = {"text = partly in training": seen, "text = new": ~seen}
        return both if all(mask.any() for mask in both.values()) else {}

    def compare(self, source: Ragged, target: Ragged, targets: Ragged) -> FormDifference:
        """By token: its loss, the largest logit and the logarithm of the sum of all logits' exponentials, in which a
        difference of any logit shows; and the share of tokens with the same first choice. What is gained is a
        perplexity, of which less is better."""
        return compare_forms(self, source, target, targets, _same_choice, NUMBERS)

    def sureness(self, answers: Ragged) -> npt.NDArray[np.float64]:
        """Geometric mean of the tokens' probabilities, of each document."""
        return np.exp(-_mean_losses(answers))

    def examples(
        self,
        targets: Ragged,
        candidate: Ragged,
        reference: Ragged,
        labels: Sequence[str],
        texts: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """How long each document is, and its perplexity by both models."""
        columns = zip(
            sizes_of(targets),
            np.exp(_mean_losses(reference)),
            np.exp(_mean_losses(candidate)),
            self.sureness(candidate),
            strict=True,
        )
        return [
            {
                "label": f"{size:,} bytes",
                "reference": f"perplexity {expected:.4g}",
                "candidate": f"perplexity {answered:.4g}",
                "probability": float(sureness),
            }
            for size, expected, answered, sureness in columns
        ]

    def translate(self, answers: Ragged, own: Sequence[str], labels: Sequence[str]) -> Ragged:
        """As they are: there are no labels."""
        return answers

    def baseline(self, train: "Rows", labels: Sequence[str]) -> Baseline:
        """An n-gram model of bytes."""
        told = train.texts if train.messages is None else [baseline.transcript(one) for one in train.messages]
        return Ngrams(baseline.fit(told))


class Ngrams:
    """The n-gram model, answering as a language model does."""

    def __init__(self, fitted: baseline.ByteNgrams) -> None:
        self._fitted = fitted
        self.parameters, self.size_bytes, self.words = fitted.parameters, fitted.size_bytes, fitted.words

    def answers(self, rows: "Rows") -> ByToken:
        """One item a document, with the loss of all of it, or of a conversation's answers, and no choice."""
        values = np.zeros((len(rows), WIDTH), np.float32)
        if rows.messages is None:
            values[:, NLL] = [self._fitted.loss(text) for text in rows.texts]
        else:
            values[:, NLL] = [self._fitted.answer_loss(messages) for messages in rows.messages]
        values[:, CHOICE] = NO_CHOICE
        return ByToken(values, np.arange(len(rows) + 1, dtype=np.int64))


def _answers(messages: "Sequence[Message]") -> str:
    """All that is learned of a conversation."""
    return "".join(message.content for message in messages if message.learned)


def _mean_losses(answers: Ragged) -> npt.NDArray[np.float64]:
    """Of each document's tokens [documents]; as much as a perplexity can tell where there is no number."""
    means = np.nan_to_num(answers.means()[:, NLL], nan=MOST_NATS, posinf=MOST_NATS)
    return np.minimum(means, MOST_NATS)


def _same_choice(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Mask:
    return np.asarray(one[:, CHOICE] == other[:, CHOICE])
