"""A training job's way to workers that do not see this machine's disk, and what comes back of it.

Where the job's folder is one of a bucket's mirror (see `hone.tasks.storage`), its folders travel as artifacts of it:
each worker fetches them into a mirror of its own and trains in a folder that ends with it. What has to outlive a worker
it sends as soon as it is written, so that its successor, on whichever node, goes on from there. Where the workers see
the job's folder as it is, a payload is the job and nothing else.
"""

import dataclasses
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hone.tasks import storage, store
from hone.tasks.contracts import Artifact
from hone.tasks.errors import HoneError, PreflightError, StorageError
from hone.tasks.model.training.events import EVENTS
from hone.tasks.model.training.loop import BEST, job_digest, raise_on_all_ranks
from hone.tasks.model.training.resume import POINT
from hone.tasks.model.training.trainable import TrainingJob

EVENT_SECONDS = 1.5
"""Between two looks at a bucket's events, and between two times they are sent there."""


@dataclass(frozen=True)
class JobPayload:
    """A job as workers get it."""

    job: TrainingJob
    """Where it travels, folders among its arguments are `Artifact`s, and it has an identity."""
    uri: str = ""
    """The job's folder in the bucket; empty where the workers see it as it is."""


def upload_inputs(job: TrainingJob) -> JobPayload:
    """Sends the folders that a job needs, unless its stage has finished them and so has sent them already."""
    if not storage.is_mirror(job.workdir):
        return JobPayload(job)
    scratch = job.workdir.parent
    arguments = {
        name: _sent(value, name, scratch) if isinstance(value, Path) else value for name, value in job.arguments.items()
    }
    sent = dataclasses.replace(job, arguments=arguments)
    return JobPayload(dataclasses.replace(sent, identity=job_digest(sent)), storage.uri_of(job.workdir))


@contextmanager
def materialize(payload: JobPayload, rank: int, world_size: int) -> Iterator[tuple[TrainingJob, Callable[[str], None]]]:
    """The job with its folders on the worker's machine, and what `loop.run` tells of new files.

    Raises:
        PreflightError: when a folder is to be seen by all machines, and this one does not see it.
        StorageError: when the bucket does not answer this worker.
        DamagedArtifactError: when it has other files than were sent.
    All of them on every worker, as the others would wait for the one that met it.
    """
    if not payload.uri:
        raise_on_all_ranks(_unseen(payload.job), world_size)
        yield payload.job, lambda _name: None
        return
    with tempfile.TemporaryDirectory(prefix="hone-job-") as folder:
        workdir, arguments, problem = Path(folder) / "job", dict[str, Any](), None
        try:
            storage.get(payload.uri, workdir)
            arguments = {name: _opened(value) for name, value in payload.job.arguments.items()}
        except HoneError as error:
            problem = error
        raise_on_all_ranks(problem, world_size)
        job = dataclasses.replace(payload.job, workdir=workdir, arguments=arguments)
        yield job, _Uploader(workdir, payload.uri) if rank == 0 else lambda _name: None


class JobMirror:
    """What the driver sees of a job's folder. Where the workers write into that folder itself, it is all there."""

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._away = storage.is_mirror(workdir)
        self._looked = 0.0

    def state(self) -> None:
        """Brings what tells how far the job is."""
        if self._away:
            shutil.rmtree(self._workdir, ignore_errors=True)
            storage.fetch_files(self._workdir, {EVENTS, storage.COUNTERS, storage.MARKER})

    def events(self) -> None:
        """Brings what rank 0 has told since the last time, if that is a while ago."""
        if self._away and time.monotonic() - self._looked > EVENT_SECONDS:
            storage.fetch(self._workdir / EVENTS)
            self._looked = time.monotonic()

    def result(self) -> None:
        """Brings what came of the job."""
        if self._away:
            self.state()
            storage.fetch(self._workdir / BEST)


class _Uploader:
    """Sends what is new in a folder to where it outlives the worker."""

    def __init__(self, folder: Path, uri: str) -> None:
        self._folder, self._uri = folder, uri
        self._sent = 0.0

    def __call__(self, name: str) -> None:
        """Events may wait, but not longer than anything after them."""
        if name == EVENTS and time.monotonic() - self._sent < EVENT_SECONDS:
            return
        try:
            for file in dict.fromkeys([EVENTS, name]):
                if (self._folder / file).exists():
                    storage.put(self._folder / file, f"{self._uri}/{file}")
            if name.startswith(POINT):
                for other in storage.children(self._uri) - {name}:
                    if other.startswith(POINT):
                        storage.delete(f"{self._uri}/{other}")
        except StorageError as error:
            # No HoneError, for those are raised by all workers at once, and the others would wait for this one: its
            # death takes the group down, and the next one resumes.
            raise ConnectionError(str(error)) from error
        self._sent = time.monotonic()


def _sent(folder: Path, name: str, scratch: Path) -> Artifact:
    """A folder as an artifact of the bucket. What is outside of the mirror goes to the job's scratch, by its name among
    the arguments."""
    place = folder if storage.is_mirror(folder) else scratch / "inputs" / name
    artifact = store.describe(folder, [], final=place)
    if place.is_relative_to(scratch):
        storage.put(folder, artifact.uri)
    return artifact


def _unseen(job: TrainingJob) -> PreflightError | None:
    folders = [job.workdir.parent, *(value for value in job.arguments.values() if isinstance(value, Path))]
    absent = next((folder for folder in folders if not folder.exists()), None)
    if absent is None:
        return None
    return PreflightError(
        f"{absent}: the Ray node {socket.gethostname()} does not see it: set compute.storage to a folder that all "
        "nodes see, or to a bucket, s3://BUCKET/PREFIX"
    )


def _opened(value: Any) -> Any:
    return store.open_artifact(value) if isinstance(value, Artifact) else value
