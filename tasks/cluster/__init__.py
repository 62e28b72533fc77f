"""The only imports of Ray: a pool of Ray Train workers that trains one job after another.

Starting Ray Train's processes takes longer than many a training: each of them imports torch and transformers. So one
`TorchTrainer.fit` serves all stages of a run. Its workers ask an actor's queue for one job after another; a worker that
dies takes the group down, Ray starts it again, and the job goes on from its last epoch.

    driver: train(job) ──► actor: queue ──► workers: loop.run(job) ──► files in job.workdir ──► driver: on_event, result

Each run has workers of its own, inside a `session`. Two runs in one process share Ray itself, as Ray allows one
connection a process, and no actor of it: what ends with one run is its own workers, and Ray with the last run.

Files go through a disk that all of them see or, where compute.storage is a bucket, through that
(`hone.tasks.model.training.job_payload`).
"""

from hone.tasks.cluster.connection import named
from hone.tasks.cluster.driver import cluster_resources, session, shutdown, start, train
from hone.tasks.cluster.pool import may_be_memory
from hone.tasks.cluster.resources import shaping_settings

__all__ = ["cluster_resources", "may_be_memory", "named", "session", "shaping_settings", "shutdown", "start", "train"]
