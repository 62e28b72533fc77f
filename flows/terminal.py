"""What a person sees while a run goes on: one line a stage, and a bar with the time left for the one at work."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from hone.tasks.contracts import StageRecord

MARKS = {
    "ran": Text("✓", "green"),
    "cached": Text("=", "blue"),
    "skipped": Text("-", "dim"),
    "failed": Text("✗", "red"),
}
PLAIN_SECONDS = 30


class Terminal:
    """Hears the stages (see hone.tasks.progress) and draws them. Use as a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<9}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, visible=False, note="")
        self._plain_at = 0.0

    def __enter__(self) -> "Terminal":
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def started(self, stage: str) -> None:
        self._plain_at = time.monotonic()
        self._bar.reset(self._task, description=stage, total=None, completed=0, visible=True, note="")

    def advanced(self, stage: str, done: float, total: float, note: str) -> None:
        self._bar.update(self._task, description=stage, completed=done, total=total, note=note)
        # A log file gets a line now and then, so that a long stage is not mistaken for a dead one.
        if not self.console.is_terminal and time.monotonic() - self._plain_at > PLAIN_SECONDS:
            self._plain_at = time.monotonic()
            line = f"  {stage:<9} {100 * done / max(total, 1):3.0f}%  {note}"
            self.console.print(line, markup=False, highlight=False)

    def finished(self, record: StageRecord, headline: str) -> None:
        self._bar.update(self._task, visible=False)
        seconds = f"{record.seconds:7.1f} s" if record.status != "skipped" else " " * 9
        line = MARKS[record.status] + Text(f" {record.name:<9} {seconds}  {headline}{'; ' if headline else ''}")
        self.console.print(line + Text(f"{record.status}: {record.reason}", "dim"), soft_wrap=True)
