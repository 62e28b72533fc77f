"""Two runs held against each other by what their reports say."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hone.tasks.redact import without_credentials
from hone.tasks.report import wording
from hone.tasks.report.format import Report


@dataclass(frozen=True)
class Number:
    """One number of the selected models."""

    name: str
    """A metric, size_bytes, speedup, speedup_per_core or p50_ms."""
    cell: str
    """Batch and length of a p50_ms, `1x32`; empty of all others."""
    unit: str
    """share, ms, bytes, x or empty."""
    first: float | None
    """None: not measured."""
    second: float | None
    difference: float | None
    """Second less first; of shares, times 100 it is percentage points."""
    ratio: float | None
    """Second by first; None of shares, which are compared by their difference."""


@dataclass(frozen=True)
class Fact:
    """What is not a number, of both runs."""

    name: str
    first: Any
    second: Any
    """None: not there."""


@dataclass(frozen=True)
class Stage:
    """What became of one stage in both runs."""

    name: str
    first: str
    """ran, cached, skipped, failed, or empty where the run has no such stage."""
    second: str
    first_seconds: float | None
    second_seconds: float | None
    same_result: bool | None
    """Whether both have the same bytes, whoever made them; None where one of them has no result."""


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    runs: list[Fact]
    """Which runs they are, and on what they ran."""
    verdicts: list[Fact]
    """The verdict, the selected model, and each check whose verdict is not the same in both."""
    settings: list[Fact]
    """Settings of the recipe that differ, by dotted key."""
    stages: list[Stage]
    numbers: list[Number]
    """Of the selected models: metrics, size, speed-up, and the median time of each shape."""
    cautions: list[str]
    """Why the numbers do not mean the same in both runs."""


def compare(first: Report, second: Report) -> Comparison:
    """What differs between two runs, and by how much.

    Args:
        first, second: as `parse_report` returns them.
    """
    both = first, second
    return Comparison(
        runs=[
            _fact("recipe", both, lambda run: run["name"]),
            _fact("finished", both, lambda run: run.get("finished")),
            _fact("folder", both, lambda run: run.get("folder")),
            _fact("mlflow_run_id", both, lambda run: run.get("mlflow_run_id") or None),
            _fact("code_version", both, lambda run: run.get("code_version")),
            _fact("seed", both, lambda run: run.get("seed")),
            _fact("machine", both, _machine),
        ],
        verdicts=[
            _fact("verdict", both, lambda run: run["verdict"]),
            _fact("selected", both, lambda run: run["selected"]),
            *_differing(*(_checks(run) for run in both)),
        ],
        settings=_differing(*(dict(_flat(run["recipe"])) for run in both)),
        stages=_stages(*both),
        numbers=_numbers(*(_selected(run) for run in both)),
        cautions=_cautions(*both),
    )


def _fact(name: str, both: tuple[Report, Report], read: Any) -> Fact:
    return Fact(name, *map(read, both))


def _differing(first: dict[str, Any], second: dict[str, Any]) -> list[Fact]:
    """Values that are not the same, in the order of the first; what one of them lacks counts as null."""
    facts = (Fact(key, first.get(key), second.get(key)) for key in dict.fromkeys([*first, *second]))
    return [fact for fact in facts if fact.first != fact.second]


def _checks(run: Report) -> dict[str, str]:
    return {wording.check_name(check): check["verdict"] for check in run["checks"] if check["decides"]}


def _flat(tree: dict[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", without_credentials(value) if isinstance(value, str) else value


def _machine(run: Report) -> str:
    machine = run["machine"]
    return ", ".join([f"{machine.get('cpu', '?')}, {machine.get('cores', '?')} cores", *machine.get("gpus", [])])


def _stages(first: Report, second: Report) -> list[Stage]:
    records = [{stage["name"]: stage for stage in run["stages"]} for run in (first, second)]
    result = []
    for name in dict.fromkeys([*records[0], *records[1]]):
        one, other = (record.get(name, {}) for record in records)
        digests = one.get("digest"), other.get("digest")
        result.append(
            Stage(
                name=name,
                first=one.get("status", ""),
                second=other.get("status", ""),
                first_seconds=one.get("seconds"),
                second_seconds=other.get("seconds"),
                same_result=digests[0] == digests[1] if all(digests) else None,
            )
        )
    return result


def _selected(run: Report) -> Report:
    result: Report = next(candidate for candidate in run["candidates"] if candidate["name"] == run["selected"])
    return result


def _numbers(first: Report, second: Report) -> list[Number]:
    both = first, second

    def number(name: str, unit: str, values: tuple[float | None, float | None], cell: str = "") -> Number:
        one, other = values
        if one is None or other is None:
            return Number(name, cell, unit, one, other, None, None)
        ratio = other / one if one and unit != "share" else None
        return Number(name, cell, unit, one, other, other - one, ratio)

    def of_both(key: str) -> tuple[float | None, float | None]:
        return first.get(key) or None, second.get(key) or None  # 0 stands for what nobody measured

    metrics = dict.fromkeys([*first["metrics"], *second["metrics"]])
    times = [{wording.cell_of(cell): cell["p50_ms"] for cell in one["latency"]} for one in both]
    cells = dict.fromkeys([*times[0], *times[1]])
    return [
        *(
            number(name, _metric_unit(name), (first["metrics"].get(name), second["metrics"].get(name)))
            for name in metrics
        ),
        number("size_bytes", "bytes", of_both("size_bytes")),
        number("speedup", "x", of_both("speedup")),
        number("speedup_per_core", "x", of_both("speedup_per_core")),
        *(number("p50_ms", "ms", (times[0].get(cell), times[1].get(cell)), cell) for cell in cells),
    ]


def _metric_unit(name: str) -> str:
    return "share" if name in wording.METRICS else ""


def _cautions(first: Report, second: Report) -> list[str]:
    """Reasons to take a difference of numbers for something else than one of the models."""
    result = []
    if first["data"].get("digest") != second["data"].get("digest"):
        result.append("the prepared data are not the same, so the metrics are of different rows")
    if _machine(first) != _machine(second):
        result.append("the machines are not the same, so times cannot be compared, and speed-ups only with care")
    changed = _differing(*(run["machine"].get("versions") or {} for run in (first, second)))
    if changed:
        told = ", ".join(f"{fact.name} {fact.first or 'none'} and {fact.second or 'none'}" for fact in changed)
        result.append(f"the libraries are not the same: {told}")
    loads = [run["machine"].get("background_load") or 0.0 for run in (first, second)]
    if max(loads) > wording.BUSY:
        shares = " and ".join(wording.share(load, 0) for load in loads)
        result.append(f"other processes took {shares} of the machine while it was timed")
    return result
