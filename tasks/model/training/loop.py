"""The one training loop: epochs of bucketed batches, shared out over workers, resumed after whatever happened.

Every worker calls `run` with the same job. All they need from each other goes through torch.distributed, all that
outlives them through the job's folder: `events.jsonl`, `resume-<step>`, `best`, and `result.json` once it is done.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hone.tasks.disk import read_json, recover
from hone.tasks.errors import HoneError, TrainingError
from hone.tasks.model.checkpoints.config_file import add_to_config
from hone.tasks.model.text import bucketed_batches, make_batch, sequential_batches
from hone.tasks.model.training.events import EVENTS, EventLog, curves
from hone.tasks.model.training.failures import explained
from hone.tasks.model.training.optimizer import arithmetic, learning_rate, make_optimizer, make_scaler
from hone.tasks.model.training.resume import point_name, read_point, unreadable, write_point
from hone.tasks.model.training.trainable import TrainingEvent, TrainingJob, TrainingResult
from hone.tasks.objectives.learning import learning
from hone.tasks.storage import MARKER
from hone.tasks.store import replace_folder, write_text

POINTS = 200  # of a loss curve, at most, beside one at the end of each epoch
PULSE_SECONDS = 1.0  # a sign of life where the points are further apart
BEST = "best"


def run(
    job: TrainingJob,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | None = None,
    keep: Callable[[str], None] = lambda _name: None,
) -> None:
    """Trains a job to its end, from wherever its folder says it is. One worker's part of it.

    With more than one worker, a default process group has to be there. The result is what `read_result` reads.

    Args:
        keep: told by rank 0 the name of each file and folder in `job.workdir` that is new, where that folder itself
            does not outlive the worker.

    Raises:
        TrainingError: when the loss is not finite: on every worker at the same step.
        HoneError: when the trainable cannot be made or the point to resume from is damaged: on every worker, whichever
            failed.
    """
    if read_result(job) is not None:
        return
    run = _Run(job, rank, world_size, device or torch.device("cpu"), keep)
    try:
        run.fit()
    finally:
        run.trainable.close()


def read_result(job: TrainingJob) -> TrainingResult | None:
    """What came of a job; None while it is not finished, or where another job has left its result."""
    path = job.workdir / MARKER
    content = (read_json(path)[0] if path.is_file() else None) or {}
    if content.get("job") != job_digest(job):
        return None
    return TrainingResult(
        best=job.workdir / BEST,
        validation=content["validation"],
        curves=curves(job.workdir / EVENTS),
        sums=content["sums"],
    )


def raise_on_all_ranks(problem: HoneError | None, world_size: int) -> None:
    """Raises on every worker what one of them has met: one that went on alone would wait for the others."""
    problems: list[HoneError | None] = [problem]
    if world_size > 1:
        problems = [None] * world_size
        dist.all_gather_object(problems, problem)
    for found in problems:
        if found is not None:
            raise found


def job_digest(job: TrainingJob) -> str:
    """Tells jobs apart, so that none goes on from what another one left in its folder."""
    if job.identity:
        return job.identity
    maker = f"{job.make_trainable.__module__}.{job.make_trainable.__qualname__}"
    content = [maker, job.task, job.settings.model_dump(mode="json"), job.seed, job.arguments]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


class _Run:
    """The state of one worker's loop."""

    def __init__(
        self, job: TrainingJob, rank: int, world_size: int, device: torch.device, keep: Callable[[str], None]
    ) -> None:
        self.job, self.settings, self.keep = job, job.settings, keep
        self.rank, self.world_size, self.device = rank, world_size, device
        self.objective = learning(job.task)
        problem: HoneError | None = None
        try:
            self._prepare()
        except Exception as error:
            problem = explained(error)
            if problem is None:
                raise
        raise_on_all_ranks(problem, world_size)  # before the first thing that waits for the others
        self.module: nn.Module = self.trainable.module
        if world_size > 1:
            # Buffers are not synchronised in forward passes, of which workers may need different numbers.
            self.module = DistributedDataParallel(self.trainable.module, forward_sync_buffers=False)
        rows = len(self.trainable.epoch_rows(1))
        self.total_steps = self.settings.epochs * -(-rows // self.settings.batch_size)
        self.log = EventLog(job.workdir / EVENTS) if rank == 0 else None
        self.pending: list[tuple[int, Tensor]] = []  # what a step's rows weigh, and its losses' sums
        self.names: list[str] = []
        self.last_told = time.monotonic()

    def _prepare(self) -> None:
        """What may fail on one worker alone: the trainable, and the point to go on from."""
        job = self.job
        job.workdir.mkdir(parents=True, exist_ok=True)
        _seed(job.seed)
        self.trainable = job.make_trainable(job, self.device)
        if not len(self.trainable.train) or not len(self.trainable.validation):
            raise TrainingError(
                f"{len(self.trainable.train)} training rows and {len(self.trainable.validation)} validation rows: "
                "needs 1 of each"
            )
        self.pad_id = int(self.trainable.tokenizer.pad_token_id)
        if self.settings.activation_checkpointing:
            _recompute_activations(self.trainable.module)
        self.optimizer = make_optimizer(self.trainable.module, self.settings)
        self.scaler = make_scaler(self.settings.precision, self.device)
        if self.rank == 0:
            recover(job.workdir / BEST)
        self.counters = read_point(job.workdir, job_digest(job), self.trainable.module, self.optimizer)
        if self.counters.scaler:
            self.scaler.load_state_dict(self.counters.scaler)

    def fit(self) -> None:
        """Trains until the last epoch, or until patience ends."""
        counters, patience = self.counters, self.settings.patience
        resumed = counters.epoch > 0
        if self.log is not None:
            self.log.truncate_after(counters.step if resumed else -1)
            for reason in unreadable(self.job.workdir):
                self._tell({}, reason)
        if resumed:
            inside = f"step {counters.step}/{self.total_steps} in " if counters.batches else ""
            self._tell({}, f"resumed after {inside}epoch {counters.epoch}/{self.settings.epochs}")
        else:
            self._finish_epoch()  # the model as it comes: the first candidate for the best one
        while counters.batches or (
            counters.epoch < self.settings.epochs and not (patience and counters.stale_epochs >= patience)
        ):
            if not counters.batches:
                counters.epoch += 1
            self._train_epoch(counters.epoch)
            self._finish_epoch()
        if self.rank == 0:
            result = {"job": counters.job, "validation": counters.best, "sums": counters.best_sums}
            write_text(self.job.workdir / MARKER, json.dumps(result))
            self.keep(MARKER)

    def _train_epoch(self, epoch: int) -> None:
        counters, begun = self.counters, self.counters.batches
        _seed(self.job.seed, epoch, self.rank, *([begun] if begun else []))
        self.module.train()
        window = max(1, self.total_steps // POINTS)
        rows = self.trainable.epoch_rows(epoch)
        lengths = self.trainable.train.lengths[rows]
        batches = bucketed_batches(lengths, self.settings.batch_size, self.job.seed, epoch)
        for index, batch in enumerate(batches[begun:], start=begun):
            self._train_step(rows[batch])
            counters.step += 1
            if (index + 1) % self.settings.checkpoint_steps == 0 and index + 1 < len(batches):
                counters.batches = index + 1
                self._flush()
                self._write_point()
                # A run that goes on from here draws what an undisturbed one does.
                _seed(self.job.seed, epoch, self.rank, counters.batches)
                continue
            if (index + 1) % window == 0 or index + 1 == len(batches):
                self._flush()
            elif self.log is not None and time.monotonic() - self.last_told > PULSE_SECONDS:
                self._tell({}, f"epoch {epoch}/{self.settings.epochs}")

    def _train_step(self, rows: npt.NDArray[np.int64]) -> None:
        """One optimiser step on one batch, of which this worker takes every n-th row, in micro-batches.

        DistributedDataParallel averages over workers, so each one's sum is multiplied by their number and divided by
        what the rows of the whole batch weigh: the gradient is that of one worker with all rows.
        """
        rate = learning_rate(self.settings, self.counters.step, self.total_steps)
        self.trainable.before_step(self.counters.step, self.total_steps)
        share = rows[self.rank :: self.world_size]
        parts = [part for part in np.array_split(share, self.settings.accumulate) if len(part)]
        weight = self.trainable.train.weight_of(rows)
        scale = self.world_size / max(weight, 1)  # a step of no target at all has no loss to divide
        if not parts:  # the last batch has fewer rows than there are workers, and the others wait for this one
            parts, scale = [rows[:1]], 0.0
        total: Tensor | None = None
        for index, part in enumerate(parts):
            last = index + 1 == len(parts)
            with nullcontext() if last or self.world_size == 1 else self.module.no_sync():  # type: ignore[operator]
                batch = make_batch(self.trainable.train, part, self.pad_id, self.device)
                with arithmetic(self.settings.precision, self.device):
                    losses: dict[str, Tensor] = self.module(batch)
                self.scaler.scale(losses["loss"] * scale).backward()
            self.names = list(losses)
            sums = torch.stack([loss.detach().float() for loss in losses.values()])
            total = sums if total is None else total + sums
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.trainable.module.parameters(), self.settings.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.trainable.after_step()
        if total is not None:
            self.pending.append((weight, total if scale else torch.zeros_like(total)))

    def _flush(self) -> None:
        """Tells the mean losses since the last time: the only moment at which the loop waits for the device."""
        if not self.pending:
            return
        sums = torch.stack([total for _rows, total in self.pending]).double()
        if self.world_size > 1:
            dist.all_reduce(sums)
        by_step, weights = sums.cpu().numpy(), [weight for weight, _total in self.pending]
        first = self.counters.step - len(weights)
        self.pending = []
        for index, loss in enumerate(by_step[:, self.names.index("loss")]):
            if not np.isfinite(loss):
                step = f"{first + index + 1} of {self.total_steps}"
                raise TrainingError(f"the loss is {loss} at step {step}: {self._way_out()}")
        means = by_step.sum(axis=0) / max(sum(weights), 1)
        values = {
            ("train_loss" if name == "loss" else name): float(x) for name, x in zip(self.names, means, strict=True)
        }
        values["learning_rate"] = learning_rate(self.settings, self.counters.step - 1, self.total_steps)
        self._tell(values, f"epoch {self.counters.epoch}/{self.settings.epochs}, loss {values['train_loss']:.4f}")

    def _finish_epoch(self) -> None:
        """Validates, keeps the best, says so, and leaves a point to resume from, in this order: whatever is killed
        on the way is done again in the same way."""
        counters = self.counters
        counters.batches = 0
        sums = self._validate()
        metrics, primary = self.objective.validation_metrics(sums), self.objective.primary
        score, loss = metrics[primary], metrics["loss"]
        if not np.isfinite(loss):
            raise TrainingError(
                f"the validation loss is {loss} after epoch {counters.epoch} of {self.settings.epochs}: "
                + (self._way_out() if counters.epoch else "the weights it starts from are not finite")
            )
        # A model that is still on its way to its sparsity would win, and is not what was asked for.
        settled = self.trainable.settled(counters.step, self.total_steps)
        best_score = counters.best.get(primary, -float("inf"))
        best_loss = counters.best.get("loss", float("inf"))
        if settled:
            counters.stale_epochs = 0 if score > best_score else counters.stale_epochs + 1
        if settled and (score, -loss) > (best_score, -best_loss):
            counters.best, counters.best_sums, counters.best_epoch = metrics, sums, counters.epoch
            if self.rank == 0:
                self._save_best()
        if self.rank == 0:
            said = primary.replace("_", " ")
            note = f"epoch {counters.epoch}/{self.settings.epochs}, validation {said} {score:.4f}"
            note += "" if settled else ", not kept: it is still being changed"
            self._tell({f"validation_{name}": value for name, value in metrics.items()}, note)
        if counters.epoch:
            self._write_point()

    def _write_point(self) -> None:
        self.counters.scaler = self.scaler.state_dict()
        if self.rank == 0:
            write_point(self.job.workdir, self.counters, self.trainable.module, self.optimizer)
            self.keep(point_name(self.counters.step))

    def _way_out(self) -> str:
        settings = self.settings
        return (
            f"lower learning_rate (now {settings.learning_rate:g}) or max_grad_norm (now {settings.max_grad_norm:g}), "
            f"or set precision to fp32 (now {settings.precision})"
        )

    @torch.no_grad()
    def _validate(self) -> list[float]:
        """What the task measures on the validation split, in fp32, as the checkpoint will be used: the sums of
        `Learning.validation` over all rows."""
        text = self.trainable.validation
        self.module.eval()
        size = max(self.objective.rows_at_once, self.settings.batch_size // self.world_size)
        batches = sequential_batches(text.lengths, size)
        sums: list[Tensor] = []
        for rows in batches[self.rank :: self.world_size] or batches[:1]:
            batch = make_batch(text, rows, self.pad_id, self.device)
            sums.append(self.objective.validation(self.trainable.predict(batch), batch))
        total: Tensor = sum(sums[1:], sums[0])
        if self.rank >= len(batches):  # it has no rows of its own, and only learned how many sums there are
            total = torch.zeros_like(total)
        if self.world_size > 1:
            dist.all_reduce(total)
        result: list[float] = total.tolist()
        return result

    def _save_best(self) -> None:
        beside = self.job.workdir / f"{BEST}.new"
        shutil.rmtree(beside, ignore_errors=True)
        self.trainable.save(beside)
        add_to_config(beside, self.objective.config_chosen(self.counters.best_sums))
        replace_folder(beside, self.job.workdir / BEST)
        self.keep(BEST)

    def _tell(self, values: dict[str, float], note: str) -> None:
        if self.log is not None:
            self.log.append(TrainingEvent(self.counters.step, self.total_steps, values, note))
            self.last_told = time.monotonic()
            self.keep(EVENTS)


def _seed(*parts: int) -> None:
    """Seeds torch, on all devices, from several numbers that together are told apart."""
    torch.manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]))


def _recompute_activations(module: nn.Module) -> None:
    """Turns checkpointing on in every transformers model that is trained."""
    for part in module.modules():
        enable: Any = getattr(part, "activation_checkpointing_enable", None)
        if enable is not None and any(parameter.requires_grad for parameter in part.parameters()):
            enable(activation_checkpointing_kwargs={"use_reentrant": False})
