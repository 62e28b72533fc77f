"""What the evidence decides: margins, correction for many checks, levels, and the verdict, all in this one place.

A model is accepted when every demand is shown to be met. A wrong acceptance then needs all of them to err at once, so
each may be held to the level itself (an intersection-union test: Berger 1982). It is refused when any demand is shown
to be missed, and the more there are, the likelier one looks missed by chance: so refusals are corrected for the number
of checks that could refuse (Holm 1979). Between the two it is open.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hone.tasks.contracts import Check, VerdictName
from hone.tasks.holm import holm


@dataclass(frozen=True)
class Claim:
    """One demand of the recipe that a statistic answers."""

    check: Check
    """What is asked, of what, and the value as measured; its verdict, bounds and detail are still to come."""
    p_met: float
    """Against the hypothesis that the demand is missed: small shows that it is met."""
    p_missed: float
    """Against the hypothesis that it is met: small shows that it is missed."""
    low: Callable[[float], float | None]
    """Lower one-sided confidence bound at a level."""
    high: Callable[[float], float | None]
    """Upper one-sided confidence bound at a level."""
    told: Callable[[VerdictName, float], str]
    """What a person needs to know beside the numbers, given the verdict and the level that keeps it open."""


def decide(found: Sequence[Check | Claim], level: float, refusal_level: float | None = None) -> list[Check]:
    """The checks in their order, each claim decided.

    Args:
        level: error rate of accepting, of each claim.
        refusal_level: error rate of refusing, over all claims together; by default the same.
    """
    refusal_level = level if refusal_level is None else refusal_level
    claims = [one for one in found if isinstance(one, Claim)]
    refused = iter(_refusals([one.p_missed for one in claims], refusal_level))
    return [_decided(one, level, *next(refused)) if isinstance(one, Claim) else one for one in found]


def verdict_of(checks: Sequence[Check]) -> VerdictName:
    """REJECTED when any deciding check is, else INCONCLUSIVE when any is."""
    found = {check.verdict for check in checks if check.decides}
    return "REJECTED" if "REJECTED" in found else "INCONCLUSIVE" if "INCONCLUSIVE" in found else "ACCEPTED"


def _refusals(p_values: Sequence[float], level: float) -> list[tuple[bool, float]]:
    """Of each claim, whether it refuses, and the level of Holm's procedure that it was held to: the k-th smallest p
    value is held to level / (claims - k + 1), and all after the first that exceeds its own to that one's."""
    refused = [p <= level for p in holm(p_values)]
    ranks = np.argsort(np.argsort(p_values, kind="stable"), kind="stable")
    stopped = sum(refused)
    return [(no, level / (len(p_values) - min(int(rank), stopped))) for no, rank in zip(refused, ranks, strict=True)]


def _decided(claim: Claim, level: float, refused: bool, refusal_level: float) -> Check:
    verdict: VerdictName = "REJECTED" if refused else "ACCEPTED" if claim.p_met <= level else "INCONCLUSIVE"
    upwards = claim.check.direction != "at_most"  # the side on which the demand is met
    low, high = (level, refusal_level) if upwards else (refusal_level, level)
    missed = claim.p_missed < claim.p_met
    return claim.check.model_copy(
        update={
            "verdict": verdict,
            "low": claim.low(low),
            "high": claim.high(high),
            "level": level,
            "refusal_level": refusal_level,
            "detail": claim.told(verdict, refusal_level if missed else level),
        }
    )
