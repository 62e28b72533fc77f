"""Where the driver leaves jobs and the workers take them; part of a Ray actor, though nothing in it knows ray."""

import asyncio


class Desk:
    """Hands jobs to the workers and their outcomes to the driver. Whoever asks waits without polling."""

    def __init__(self) -> None:
        self._jobs: list[bytes] = []
        self._outcomes: list[tuple[str, str] | None] = []
        self._changed = asyncio.Condition()

    async def offer(self, job: bytes) -> int:
        """Adds a job and returns its number."""
        async with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
            return len(self._jobs) - 1

    async def close(self) -> None:
        """No more jobs: whoever asks for the next one gets an empty one, and may go."""
        await self.offer(b"")

    async def outcome(self, number: int) -> tuple[str, str] | None:
        """Waits for a job to end: None, or the kind and the message of the error that it ended with."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._outcomes) > number)
            return self._outcomes[number]

    async def unfinished(self) -> int:
        """The number of the first job without an outcome: where a group of workers begins."""
        return len(self._outcomes)

    async def take(self, number: int) -> bytes:
        """Waits for a job; empty where there will be none."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._jobs) > number)
            return self._jobs[number]

    async def finish(self, number: int, outcome: tuple[str, str] | None) -> None:
        """Rank 0 tells how a job ended."""
        async with self._changed:
            if number == len(self._outcomes):
                self._outcomes.append(outcome)
                self._changed.notify_all()
