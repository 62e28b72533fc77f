"""Documents as statistics, whose sums give perplexity, bits per byte and agreement with the teacher.

A perplexity is of a token, and whose tokens these are decides it. Here they are always the reference's (the teacher's),
whatever tokenizer a model has of its own, so that two perplexities are of the same tokens and can be compared.
"""

import math

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.metric import Metric, Sums, Values, share

LOSS, TOKENS, BYTES, KEPT, BROKEN = range(5)
"""A document's statistics: its negative log likelihood (nats), the reference's tokens, UTF-8 bytes, tokens on which the
reference's first choice is kept, and 1 where an answer is no number."""
MOST_NATS = 700.0
"""Beyond this a perplexity is no float any more."""
DISAGREEMENT = "better on {won:,} documents, worse on {lost:,} of {rows:,}"


def perplexity(sums: Sums) -> Values:
    """exp of the mean negative log likelihood of a token [draws]."""
    mean = share(sums[:, LOSS], sums[:, TOKENS])
    return np.asarray(np.exp(np.minimum(mean, MOST_NATS)))


def bits_per_byte(sums: Sums) -> Values:
    """Bits that a coder with the model's predictions needs for a byte of UTF-8 [draws]: no tokenizer has a part in it.

    Source: Gao et al. 2020 (The Pile), arXiv:2101.00027, section 3.1.
    """
    return share(sums[:, LOSS], sums[:, BYTES]) / math.log(2)


def agreement(sums: Sums) -> Values:
    """Share of the tokens on which the model's first choice is the teacher's [draws]; 0 of a model with other tokens
    than the teacher's, which makes no choice among these."""
    return share(sums[:, KEPT], sums[:, TOKENS])


METRICS = {
    "perplexity": Metric(
        "perplexity", "perplexity", perplexity, better="lower", unit="", relative=True, disagreement=DISAGREEMENT
    ),
    "bits_per_byte": Metric(
        "bits_per_byte",
        "bits per byte",
        bits_per_byte,
        better="lower",
        unit="bits",
        relative=True,
        disagreement=DISAGREEMENT,
    ),
    "agreement": Metric("agreement", "agreement with the teacher", agreement, disagreement=DISAGREEMENT),
}
"""By name; the first one is what models are judged by."""
Bytes = npt.NDArray[np.int64]


def worst_loss(sizes: Bytes) -> npt.NDArray[np.float64]:
    """What a document counts as whose answer is no number [documents]: as if each byte were drawn from all 256."""
    return np.asarray(sizes * math.log(256))
