"""What runs in each worker: one training job after another."""

import os
from typing import Any

from hone.tasks import version
from hone.tasks.errors import HoneError


def serve(config: dict[str, Any]) -> None:
    """What each worker runs: job after job, as long as it lives.

    An error that every start would repeat ends the job at once, whichever worker meets it; after any other the workers
    are started again, up to `compute.max_failures` times.
    """
    import gc

    import ray
    import torch
    from ray import cloudpickle
    from ray.train import get_context
    from ray.train.torch import get_device

    # before the first job is there: importing transformers takes a while
    from hone.tasks.model.checkpoints import checkpoint
    from hone.tasks.model.training import loop
    from hone.tasks.model.training.failures import explained
    from hone.tasks.model.training.job_payload import materialize

    threads, queue = config["threads"], config["queue"]
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # the tokenizer's
    rank, world_size = get_context().get_world_rank(), get_context().get_world_size()
    index = ray.get(queue.next_index.remote())
    mismatch: HoneError | None = None
    try:
        version.check_code(config["code"])
    except HoneError as error:
        mismatch = error
    with checkpoint.quiet():
        while True:
            outcome = None
            try:
                taken = ray.get(queue.get.remote(index))
                if not taken:
                    return
                loop.raise_on_all_ranks(mismatch, world_size)
                payload = cloudpickle.loads(taken)
                with materialize(payload, rank, world_size) as (job, keep):
                    loop.run(job, rank, world_size, get_device(), keep)
            except HoneError as error:  # raised by all workers alike
                outcome = type(error).__name__, str(error)
            except Exception as error:  # the others may wait for this one, so its death takes the group down
                if reason := explained(error):
                    ray.get(queue.finish.remote(index, (type(reason).__name__, str(reason))))
                raise
            if rank == 0:
                ray.get(queue.finish.remote(index, outcome))
            index += 1
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
