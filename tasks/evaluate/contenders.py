"""Which way of running a model suits which shape, and what the model takes there.

Where there are more than two ways, a short trial tries them all, and only the best two of each shape, and one thread,
go on to the full rounds. What suits a shape best is then seen in the full rounds, in a way in which the choice does not
flatter the model that is to ship:

* The dense teacher, which the others are compared with, runs each shape in the way that was fastest over all rounds. By
  chance that is at times a little faster than it would be again, which is in the teacher's favour.
* The others run each shape, in each round, in the way that was fastest over the *other* rounds. A round's own luck has
  no part in the choice of what is taken from it (cross-validation, as in Stone 1974). A single round has no others, and
  its own choice stands; no interval comes of one round anyway.

Beside that, every exported model is timed with one thread, in every round and at every shape: that is what a core
gives, and it does not depend on where the host puts a machine's cores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from hone.tasks.contracts import ConfigurationTiming
from hone.tasks.evaluate.latency import Timing

KEPT = 2  # that go on to the full rounds, at each shape
Medians = Mapping[str, Mapping[str, float]]
"""Milliseconds by configuration and cell."""


@dataclass(frozen=True)
class Timed:
    """One model's timings, each cell in the configuration that suits it."""

    rounds: list[Timing]
    best: list[str]
    """The fastest configuration over all rounds, by cell."""
    one_thread: list[Timing] = field(default_factory=list)
    """The same rounds with one thread; empty where that was not timed."""
    table: list[ConfigurationTiming] = field(default_factory=list)
    """All that was tried."""
    note: str = ""
    """What has to be known of how it was run."""


class Rounds:
    """What the full rounds of one model saw: calls by configuration, cell and round.

    Args:
        cells: all that were timed, in their order.
        threads: of each configuration, in the order in which they are told.
    """

    def __init__(self, cells: Sequence[str], threads: Mapping[str, int]) -> None:
        self.cells, self.threads = list(cells), dict(threads)
        self._calls: dict[str, dict[str, list[list[float]]]] = {}
        self._timings: dict[str, Sequence[Timing]] = {}

    def add(self, configuration: str, calls: Mapping[str, list[list[float]]], timings: Sequence[Timing]) -> None:
        """One configuration.

        Args:
            calls: milliseconds by cell and round, of the cells that it was timed at.
            timings: the processes, one for each round.
        """
        self._calls[configuration], self._timings[configuration] = dict(calls), timings

    def medians(self) -> dict[str, dict[str, float]]:
        """Over all rounds, by configuration and cell."""
        return {name: {cell: _median(rounds) for cell, rounds in found.items()} for name, found in self._calls.items()}

    def best(self, cell: str, without: int | None = None, threads: int | None = None) -> str:
        """The configuration with the lowest median over all rounds but one.

        Args:
            threads: looks at those with so many alone.

        Raises:
            ValueError: when none was timed.
        """

        def seen(name: str) -> float:
            return _median([one for number, one in enumerate(self._calls[name][cell]) if number != without])

        found = [name for name, calls in self._calls.items() if cell in calls]
        return min((name for name in found if threads in (None, self.threads[name])), key=seen)

    def merged(self, choices: Sequence[Sequence[str]]) -> list[Timing]:
        """One timing for each round, with every cell as the chosen configuration ran it.

        Args:
            choices: configurations by round and cell.
        """
        merged = []
        for number, chosen in enumerate(choices):
            ran = [self._timings[name][number] for name in chosen]
            milliseconds = [self._calls[name][cell][number] for name, cell in zip(chosen, self.cells, strict=True)]
            merged.append(
                replace(
                    ran[0],
                    load_seconds=max(timing.load_seconds for timing in ran),
                    peak_memory_bytes=max(timing.peak_memory_bytes for timing in ran),
                    milliseconds=milliseconds,
                    variants={},
                )
            )
        return merged

    def settle(self, *, baseline: bool, trial: Medians | None = None, note: str = "") -> Timed:
        """Each cell in the configuration that suits it, chosen as this module's first lines say.

        Args:
            trial: the medians of the short trial, for the table of all that was tried.
        """
        numbers = range(len(next(iter(self._timings.values()))))
        best = [self.best(cell) for cell in self.cells]
        choices = [best for _ in numbers]
        if not baseline and len(numbers) > 1:
            choices = [[self.best(cell, without=number) for cell in self.cells] for number in numbers]
        try:
            alone = [self.best(cell, threads=1) for cell in self.cells]
        except ValueError:
            one_thread = []
        else:
            one_thread = self.merged([alone for _ in numbers])
        return Timed(self.merged(choices), best, one_thread, self._table(trial or {}), note)

    def _table(self, trial: Medians) -> list[ConfigurationTiming]:
        """The full rounds' medians, and the trial's where a configuration did not go on."""
        seen = self.medians()
        rows = []
        for name, threads in self.threads.items():
            found = {**trial.get(name, {}), **seen.get(name, {})}
            p50 = {cell: round(found[cell], 4) for cell in self.cells if cell in found}
            rows.append(ConfigurationTiming(configuration=name, threads=threads, p50_ms=p50))
        return rows


def go_on(threads: Mapping[str, int], trial: Medians, cells: Sequence[str]) -> dict[str, list[str]]:
    """Cells by configuration that go on from the trial to the full rounds: the best two of each cell, and one thread
    everywhere; without a trial, all of them.

    Args:
        threads: by configuration.
    """
    if not trial:
        return {name: list(cells) for name in threads}
    best = {cell: sorted(threads, key=lambda name, at=cell: trial[name][at])[:KEPT] for cell in cells}  # type: ignore[misc]
    found = {name: [cell for cell in cells if count == 1 or name in best[cell]] for name, count in threads.items()}
    return {name: kept for name, kept in found.items() if kept}


def best_threads(table: Sequence[ConfigurationTiming]) -> int:
    """The one number of threads for a server that answers every shape: that with the lowest geometric mean over the
    cells; of two alike the smaller one."""

    def mean(row: ConfigurationTiming) -> float:
        return math.fsum(map(math.log, row.p50_ms.values())) / len(row.p50_ms)

    most = max(len(row.p50_ms) for row in table)
    return min((row for row in table if len(row.p50_ms) == most), key=lambda row: (mean(row), row.threads)).threads


def _median(rounds: Sequence[Sequence[float]]) -> float:
    return median(call for calls in rounds for call in calls)
