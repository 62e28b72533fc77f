"""The decision whether a model may ship, and the checks that it rests on."""

from typing import Literal

from hone.tasks.contracts.base import Contract, StageResult

VerdictName = Literal["ACCEPTED", "REJECTED", "INCONCLUSIVE"]
"""INCONCLUSIVE: what was measured neither shows that the threshold is met nor that it is missed."""


class Check(Contract):
    """One threshold, the value held against it, and how sure the value is."""

    name: str
    verdict: VerdictName
    value: float | None
    threshold: float
    unit: str = ""
    """share, points (a difference of shares), relative (a difference as a part of the reference's value), x, ms, s,
    bytes, nodes or requests."""
    direction: Literal["at_least", "at_most", "above"]
    subject: str = ""
    """What the check is about where several have its name: `teacher`, `champion`, `label = negative`."""
    low: float | None = None
    """Lower one-sided confidence bound; None where the value is exact."""
    high: float | None = None
    """Upper one-sided confidence bound."""
    level: float | None = None
    """Error rate of the bound that accepts."""
    refusal_level: float | None = None
    """Error rate of the bound that refuses: after Holm's correction over all checks that could."""
    decides: bool = True
    """False: reported only, as a slice with too few rows is."""
    detail: str = ""
    """What a person needs to know beside the numbers: what would settle it, which nodes, which layer."""
    rows: int | None = None
    """Examples behind the value."""


class Verdict(StageResult):
    """The decision: REJECTED when any check is, else INCONCLUSIVE when any check is."""

    verdict: VerdictName
    selected: str
    look: int = 0
    """Which verdict on the same test rows it is, from 1; 0 where nobody counted."""
    level: float = 0.0
    """Error rate of accepting that this look may spend, of `gate.level` over all looks."""
    checks: list[Check]
    slices: list[Check] = []
    """The selected model against the teacher on parts of the test split."""

    def headline(self) -> str:
        from hone.tasks.report.wording import check_name  # so that every line calls a check as the report does

        deciding = [check for check in [*self.checks, *self.slices] if check.decides]
        why = [check for check in deciding if check.verdict == self.verdict != "ACCEPTED"]
        names = [check_name(check.model_dump()) for check in why]
        return f"{self.verdict}{': ' + '; '.join(names) if names else ''}"
