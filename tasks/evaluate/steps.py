"""How far the stage is."""

from hone.tasks.stage import Workshop


class Steps:
    """Counts what is behind the stage, for its progress bar; hand-offs and rounds turn up on the way."""

    def __init__(self, workshop: Workshop, total: int) -> None:
        self._workshop, self._total, self._done = workshop, total, 0

    def expect(self, steps: int) -> None:
        """So many more are still to come."""
        self._total = self._done + steps

    def tell(self, note: str) -> None:
        """What it is waiting for, with nothing done."""
        self._workshop.advanced(self._done, self._total, note)

    def behind(self, note: str) -> None:
        """One more step is done."""
        self._done += 1
        self.tell(note)
