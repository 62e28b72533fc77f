"""What leaves Hone and what has to be true of it: export, evaluate, gate, register; and what it is computed on."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from configs.section import Section

Provider = Literal["tensorrt", "cuda", "cpu"]
Cell = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*x[1-9]\d*$")]


class ExportSettings(Section):
    """The ONNX file and the providers meant to run it."""

    providers: list[Provider] = Field(["cpu"], min_length=1)
    """Execution providers, the preferred one first; the rest are what it falls back to."""
    opset: int = Field(18, ge=18, le=23)
    """ONNX operator set; torch's exporter writes 18 and newer."""
    tolerance: float = Field(1e-3, gt=0)
    """Largest difference of a logit between PyTorch and the exported fp32 graph."""


class EvaluateSettings(Section):
    """What is measured, and how long for."""

    batch_size: int = Field(32, ge=1)
    """Rows a batch when predicting the test split."""
    cells: list[Cell] = ["1x16", "1x32", "1x64", "1x128", "32x32", "32x128"]
    """Batch x length at which latency is measured."""
    rounds: int = Field(3, ge=1, le=100)
    """Times each model takes its turn, in a new process."""
    samples: int = Field(50, ge=3, le=100_000)
    """Timed calls of each cell in each round, at most."""
    cell_seconds: float = Field(4.0, gt=0, le=3600)
    """A cell stops sampling after this long in each round, with at least 3 samples taken."""
    threads: int = Field(0, ge=0, le=1024)
    """Threads of the timed session; 0 takes one for each core."""
    calibration_bins: int = Field(15, ge=2, le=1000)
    """Equal-width confidence bins of the expected calibration error."""


class GateSettings(Section):
    """Thresholds that the selected model has to meet; a switched-off one is null."""

    min_accuracy: float | None = Field(None, ge=0, le=1, title="Least accuracy")
    """Least test accuracy."""
    min_accuracy_kept: float | None = Field(0.97, ge=0, le=2, title="Least accuracy kept")
    """Least share of the teacher's test accuracy."""
    max_size_fraction: float | None = Field(0.5, gt=0, title="Largest size fraction")
    """Largest size, as a share of the teacher's ONNX fp32 file."""
    min_speedup: float | None = Field(1.5, gt=0, title="Least speed-up")
    """Least speed-up over the teacher in ONNX Runtime fp32: geometric mean over the cells of the ratio of medians."""
    max_calibration_error: float | None = Field(None, ge=0, le=1, title="Largest calibration error")
    """Largest expected calibration error."""
    beat_floor: bool = True
    """The selected model has to be more accurate than TF-IDF with logistic regression."""


class RegisterSettings(Section):
    """What becomes of an accepted model."""

    enabled: bool = True
    """Make an accepted model a version in MLflow's registry."""
    model_name: str = Field("", pattern=r"^[^/:]*$")
    """Name in the registry; empty: the recipe's name."""
    promote: Literal["never", "auto"] = "never"
    """auto makes an accepted version the champion at once."""


class ComputeSettings(Section):
    """Where the training runs and where its results lie."""

    workers: int = Field(1, ge=1, le=1024)
    """Ray workers that train together."""
    cpus_per_worker: int = Field(0, ge=0, le=1024)
    """Cores of each worker; 0 shares out the cores there are."""
    gpus_per_worker: float = Field(0, ge=0, le=16)
    """GPUs of each worker."""
    max_failures: int = Field(2, ge=0, le=100)
    """Deaths of a worker after which training gives up; it resumes from the last checkpoint until then."""
    storage: str = Field(".hone", min_length=1)
    """Folder of finished stages and, unless MLFLOW_TRACKING_URI says otherwise, of MLflow's records."""


def parse_cell(cell: str) -> tuple[int, int]:
    """`"32x128"` as (batch, length)."""
    match = re.fullmatch(r"(\d+)x(\d+)", cell)
    if match is None:
        raise ValueError(f"'{cell}' is not BATCHxLENGTH, like 32x128")
    return int(match[1]), int(match[2])
