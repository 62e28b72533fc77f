"""How often the same test rows have judged, and what a further look at them may cost.

Every verdict on the same rows is another chance to be accepted by luck: of twenty models that are just too bad, one
would be accepted at level 5 %. So the level is spent over the looks (alpha spending): what all of them spend together
is at most `gate.level`, whatever the models have to do with each other.

Without a plan, look k spends level / (k (k + 1)): a half, a sixth, a twelfth, and so on, which adds up to the level
over any number of looks (Foster and Stine 2008; Tian and Ramdas 2021, section 2). With `gate.looks` planned, the looks
share the level out by Lan and DeMets' spending function of Pocock's type, and then it is spent.

Refusals are not spent: a model that is refused was not chosen.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hone.tasks.contracts import Check
from hone.tasks.tracking import PastLook

LOOKS = "looks"


@dataclass(frozen=True)
class Look:
    """One more verdict on the same test rows."""

    number: int
    """From 1; of a model that was judged on them before, that of then. 0: not counted."""
    level: float
    """What it may spend; of a look beyond the plan, what the last one might."""
    check: Check | None = None
    """Where this look cannot accept a model: why not."""


def rows_digest(data_folder: Path) -> str:
    """Digest of the test split's texts, whatever their order, labels and slices."""
    from pyarrow import parquet

    table = parquet.read_table(data_folder / "test.parquet", columns=["text", "pair"])
    rows = zip(table["text"].to_pylist(), table["pair"].to_pylist(), strict=True)
    whole = hashlib.sha256()
    for digest in sorted(hashlib.sha256(f"{text}\x1f{pair or ''}".encode()).digest() for text, pair in rows):
        whole.update(digest)
    return f"sha256:{whole.hexdigest()}"


def next_look(earlier: Sequence[PastLook], candidate: str, level: float, planned: int | None) -> Look:
    """Which look at the rows the verdict on a model is.

    Args:
        earlier: all verdicts on these rows, in any order.
        candidate: digest of the model.
        level: that all looks share.
        planned: how many were planned; None where there is no plan.
    """
    known = sorted((one.number, one.candidate) for one in earlier)
    before = {digest: number for number, digest in reversed(known)}
    number = before.get(candidate) or 1 + max([*before.values(), len(before)])
    if planned is None or number <= planned:
        return Look(number, spent_by(number, level, planned))
    detail = (
        f"gate.looks plans {planned} on these test rows, and this is look {number}: the level is spent, and no model "
        "can be shown to be good on them any more. Judge on new test rows, and plan more looks before the first"
    )
    check = Check(
        name=LOOKS,
        verdict="INCONCLUSIVE",
        value=number,
        threshold=planned,
        unit="looks",
        direction="at_most",
        detail=detail,
    )
    return Look(number, spent_by(planned, level, planned), check)


def spent_by(number: int, level: float, planned: int | None) -> float:
    """What look `number` may spend of the level.

    Source: Lan and DeMets 1983, the function that is close to Pocock's: level * ln(1 + (e - 1) t).
    """
    if planned is None:
        return level / (number * (number + 1))

    def spent(look: int) -> float:
        return level * math.log(1 + (math.e - 1) * look / planned)

    return spent(number) - spent(number - 1)


def not_counted(level: float, why: str) -> Look:
    """A look whose number is not known."""
    check = Check(
        name=LOOKS,
        verdict="INCONCLUSIVE",
        value=None,
        threshold=1,
        unit="looks",
        direction="at_least",
        detail=f"earlier verdicts on these test rows cannot be counted: {why}",
    )
    return Look(0, level, check)
