"""Jobs reach the workers in order, and their results the driver, each waiting for the other."""

import asyncio

from hone.tasks.cluster.job_queue import JobQueue


def test_a_worker_waits_for_a_job_and_the_driver_for_its_result() -> None:
    async def scene() -> tuple[bytes, tuple[str, str] | None]:
        queue = JobQueue()
        taken = asyncio.create_task(queue.get(0))
        await asyncio.sleep(0)
        assert not taken.done()
        index = await queue.submit(b"job")
        result = asyncio.create_task(queue.result(index))
        await asyncio.sleep(0)
        assert not result.done()
        await queue.finish(index, ("ModelError", "no such encoder"))
        return await taken, await result

    assert asyncio.run(scene()) == (b"job", ("ModelError", "no such encoder"))


def test_workers_that_start_again_begin_with_the_first_job_without_a_result() -> None:
    async def scene() -> tuple[int, bytes]:
        queue = JobQueue()
        for job in (b"first", b"second", b"third"):
            await queue.submit(job)
        await queue.finish(0, None)
        return await queue.next_index(), await queue.get(await queue.next_index())

    assert asyncio.run(scene()) == (1, b"second")


def test_the_first_result_of_a_job_counts() -> None:
    async def scene() -> list[tuple[str, str] | None]:
        queue = JobQueue()
        for _job in range(2):
            await queue.submit(b"job")
        await queue.finish(0, ("TrainingError", "told by the worker that met it"))
        await queue.finish(0, None)
        await queue.finish(1, None)
        return [await queue.result(0), await queue.result(1)]

    assert asyncio.run(scene()) == [("TrainingError", "told by the worker that met it"), None]


def test_a_closed_queue_gives_an_empty_job() -> None:
    async def scene() -> bytes:
        queue = JobQueue()
        await queue.close()
        return await queue.get(0)

    assert asyncio.run(scene()) == b""
