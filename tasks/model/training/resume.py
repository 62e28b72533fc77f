"""Where training can go on from: model, optimiser and counters, as safetensors and JSON."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hone.tasks.disk import read_json, settle
from hone.tasks.errors import DamagedArtifactError
from hone.tasks.storage import COUNTERS, MARKER
from hone.tasks.store import file_digest

FILES = ("model.safetensors", "optimizer.safetensors")
POINT = "resume-"


@dataclass
class TrainerState:
    """How far training is, and what was best so far."""

    job: str
    """Digest of the job that this belongs to."""
    epoch: int = 0
    """The epoch it is in, or epochs behind it where `batches` is 0."""
    batches: int = 0
    """Batches of that epoch behind it."""
    step: int = 0
    """Optimiser steps behind it."""
    best: dict[str, float] = field(default_factory=dict)
    """Metrics of the validation split where it was best so far, by name."""
    best_sums: list[float] = field(default_factory=list)
    """What these are of, as `Learning.validation` sums it."""
    best_epoch: int = -1
    """0 is the model as training found it."""
    stale_epochs: int = 0
    """Epochs since the primary metric last rose."""
    scaler: dict[str, float] = field(default_factory=dict)
    """State of fp16's loss scaling."""


def write_point(workdir: Path, counters: TrainerState, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Writes `resume-<step>` beside the last one and renames it in; then the last one goes."""
    name = point_name(counters.step)
    beside = workdir / f"{name}.new"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for file, tensors in zip(FILES, (_tensors(module), _moments(module, optimizer)), strict=True):
        save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, beside / file)
    digests = {file: file_digest(beside / file) for file in FILES}
    (beside / COUNTERS).write_text(json.dumps({"digests": digests, **asdict(counters)}), encoding="utf-8")
    if (workdir / name).exists():
        shutil.rmtree(workdir / name)
    settle(beside, workdir / name)
    for other in workdir.glob(f"{POINT}*"):
        if other.name != name:
            shutil.rmtree(other)


def read_point(workdir: Path, job: str, module: nn.Module, optimizer: torch.optim.Optimizer) -> TrainerState:
    """Puts the newest point's weights and moments in place.

    Returns:
        Its counters; those of a start, where there is no point or only another job's.

    Raises:
        DamagedArtifactError: when a file is not what it was when it was written.
    """
    point = _newest(workdir)
    content = _counters(point) if point else {}
    if point is None or content["job"] != job:
        return TrainerState(job=job)
    digests = content.pop("digests")
    damaged = [file for file in FILES if file_digest(point / file) != digests[file]]
    if damaged:
        raise DamagedArtifactError(f"{point}: {', '.join(damaged)} changed since it was written; run with --fresh")
    saved = load_file(point / FILES[0])
    moments = load_file(point / FILES[1])
    with torch.no_grad():
        for name, tensor in _tensors(module).items():
            tensor.copy_(saved[name])
    for name, parameter in module.named_parameters():
        state = {key.rpartition("/")[2]: value for key, value in moments.items() if key.rpartition("/")[0] == name}
        if state:
            optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
    return TrainerState(**content)


def point_name(step: int) -> str:
    """Name of the point after an optimiser step, in the job's folder."""
    return f"{POINT}{step}"


def has_point(workdir: Path, job: str) -> bool:
    """Whether the job would go on from a point in this folder."""
    point = _newest(workdir)
    return point is not None and _counters(point)["job"] == job


def unreadable(workdir: Path) -> list[str]:
    """What is wrong with the points and the result in a job's folder that count as not there."""
    files = [*sorted(workdir.glob(f"{POINT}*/{COUNTERS}")), *workdir.glob(MARKER)]
    return [reason for file in files if (reason := read_json(file)[1])]


def _newest(workdir: Path) -> Path | None:
    """The last one that is whole: of what came out of a bucket, a worker may have died while it sent it, and of what a
    power cut left, the counters may be empty."""
    points = [path.parent for path in workdir.glob(f"{POINT}*/{COUNTERS}") if _counters(path.parent)]
    numbered = [path for path in points if path.name.removeprefix(POINT).isdigit()]
    return max(numbered, key=lambda path: int(path.name.removeprefix(POINT)), default=None)


def _counters(point: Path) -> dict[str, Any]:
    """What the counters' file holds; nothing where it cannot be read."""
    content = read_json(point / COUNTERS)[0] or {}
    return content if {"job", "digests"} <= content.keys() else {}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; those that two names share, once."""
    return {name: tensor.detach() for name, tensor in (*module.named_parameters(), *module.named_buffers())}


def _moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    result = {}
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            result[f"{name}/{key}"] = value
    return result
