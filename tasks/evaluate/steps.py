"""How far the stage is."""

from hone.tasks.stage import StageWorkspace


class Steps:
    """Counts what is behind the stage, for its progress bar; hand-offs and rounds turn up on the way."""

    def __init__(self, workspace: StageWorkspace, total: int) -> None:
        self._workspace, self._total, self._done = workspace, total, 0

    def set_remaining(self, steps: int) -> None:
        """So many more are still to come."""
        self._total = self._done + steps

    def tell(self, note: str) -> None:
        """What it is waiting for, with nothing done."""
        self._workspace.advanced(self._done, self._total, note)

    def advance(self, note: str) -> None:
        """One more step is done."""
        self._done += 1
        self.tell(note)
