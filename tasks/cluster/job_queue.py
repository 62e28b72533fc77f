"""A queue of training jobs between the driver and the workers; part of a Ray actor, though nothing in it knows ray."""

import asyncio


class JobQueue:
    """Hands jobs to the workers and their results to the driver. Whoever asks waits without polling."""

    def __init__(self) -> None:
        self._jobs: list[bytes] = []
        self._results: list[tuple[str, str] | None] = []
        self._changed = asyncio.Condition()

    async def submit(self, job: bytes) -> int:
        """Adds a job and returns its index."""
        async with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
            return len(self._jobs) - 1

    async def close(self) -> None:
        """No more jobs: whoever asks for the next one gets an empty one, and may go."""
        await self.submit(b"")

    async def result(self, index: int) -> tuple[str, str] | None:
        """Waits for a job to end: None, or the kind and the message of the error that it ended with."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._results) > index)
            return self._results[index]

    async def next_index(self) -> int:
        """The index of the first job without a result: where a group of workers begins."""
        return len(self._results)

    async def get(self, index: int) -> bytes:
        """Waits for a job; empty where there will be none."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._jobs) > index)
            return self._jobs[index]

    async def finish(self, index: int, error: tuple[str, str] | None) -> None:
        """Rank 0 tells how a job ended."""
        async with self._changed:
            if index == len(self._results):
                self._results.append(error)
                self._changed.notify_all()
