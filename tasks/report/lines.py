"""The checks as lines to be read: what is alike and accepted is one line, what is not is told one by one."""

from dataclasses import dataclass
from typing import Any

from hone.tasks.report import wording

Check = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One check, or several that are alike."""

    verdict: str
    """Empty of what is told and decides nothing."""
    name: str
    value: str = ""
    bound: str = ""
    asked: str = ""
    detail: str = ""
    check: Check | None = None
    """None where the line stands for several."""

    @property
    def text(self) -> str:
        """`Accuracy against the teacher's: −0.42 points, lower bound −1.31 at level 5%; asked: no more than 2.00 points
        below`."""
        if self.check is None:
            return self.name
        found = f"{self.value}, {self.bound}" if self.bound else self.value
        return f"{self.name}: {found}; asked: {self.asked}"


def check_line(check: Check) -> Line:
    """One check."""
    decides = check.get("decides", True)
    return Line(
        verdict=check["verdict"] if decides else "",
        name=wording.check_name(check),
        value=wording.check_value(check),
        bound=wording.check_bound(check),
        asked=wording.check_demand(check) if decides else "nothing",
        detail=check.get("detail", ""),
        check=check,
    )


def lines_of_checks(checks: list[Check]) -> list[Line]:
    """Checks in their order; hand-offs that are alike, where more than one is, at the place of the first."""
    handoffs = [check for check in checks if check["name"] == "parity"]
    alike = [check for check in handoffs if check["verdict"] == "ACCEPTED"]
    if len(alike) < 2:
        return [check_line(check) for check in checks]
    together = Line("ACCEPTED", f"Parity at {_of(len(alike), len(handoffs))} hand-offs")
    lines = []
    for check in checks:
        if check is alike[0]:
            lines.append(together)
        elif check not in alike:
            lines.append(check_line(check))
    return lines


def slice_lines(slices: list[Check]) -> list[Line]:
    """The slices that decide, those that are accepted in one line; a line too where none decides."""
    deciding = [check for check in slices if check["decides"]]
    if slices and not deciding:
        return [Line("", f"no slice decides: all {len(slices)} have fewer rows than gate.min_slice_rows")]
    passed = [check for check in deciding if check["verdict"] == "ACCEPTED"]
    rest = [check_line(check) for check in deciding if check["verdict"] != "ACCEPTED"]
    if len(passed) < 2:
        return [*(check_line(check) for check in passed), *rest]
    small = len(slices) - len(deciding)
    besides = f" ({small} more too small to decide)" if small else ""
    count = _of(len(passed), len(deciding))
    return [
        Line("ACCEPTED", f"{count} slices, each {wording.check_demand(passed[0])} the teacher{besides}"),
        *rest,
    ]


def unresolved(report: dict[str, Any]) -> list[Line]:
    """What keeps the verdict from being ACCEPTED: the refused first, then the open."""
    found = [
        check_line(check)
        for check in [*report["checks"], *report["slices"]]
        if check["decides"] and check["verdict"] != "ACCEPTED"
    ]
    return sorted(found, key=lambda line: line.verdict != "REJECTED")


def _of(count: int, whole: int) -> str:
    return f"{count}" if count == whole else f"{count} of {whole}"
