"""The report of a made-up run, through the contracts that a real one goes through."""

import copy
from typing import Any

import pytest

from configs.recipe import Recipe, parse_recipe
from tasks.contracts import (
    Artifact,
    BadRows,
    Candidate,
    Check,
    Checkpoint,
    Curve,
    DistilledModel,
    EvaluationReport,
    ExportedModels,
    Latency,
    OnnxModel,
    PreparedData,
    PrunedModel,
    QuantizedModel,
    RegisteredVersion,
    StageRecord,
    TrainedModel,
    Verdict,
)
from tasks.report.build import build_report
from tasks.stage import RunContext

CELLS = [(1, 16), (1, 32), (32, 32)]


def artifact(name: str) -> Artifact:
    return Artifact(uri=f"file:///store/{name}", digest=f"sha256:{name}", size_bytes=1000)


def record(name: str, status: str = "ran") -> StageRecord:
    return StageRecord(
        name=name,
        status=status,  # type: ignore[arg-type]
        reason="first run of this stage" if status == "ran" else f"{name}.method is none",
        seconds=12.5,
        mlflow_run_id=f"run-{name}",
        digest=f"sha256:{name}",
    )


def checkpoint(name: str, accuracy: float, notes: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        artifact=artifact(name),
        parameters=1000,
        nonzero_parameters=900,
        validation_accuracy=accuracy,
        validation_loss=0.3,
        curves=[
            Curve(name="train_loss", steps=list(range(1, 401)), values=[1 / step for step in range(1, 401)]),
            Curve(name="validation_accuracy", steps=[200, 400], values=[accuracy - 0.01, accuracy]),
        ],
        notes=notes,
    )


def candidate(name: str, accuracy: float, megabytes: float, milliseconds: float, speedup: float) -> Candidate:
    return Candidate(
        name=name,
        stage="evaluate" if name == "floor" else "train",
        runtime={"teacher-pytorch": "pytorch", "floor": "sklearn"}.get(name, "onnxruntime"),
        provider="cpu" if name in ("teacher-pytorch", "floor") else "CPUExecutionProvider",
        precision="int8" if name == "quantized" else "fp32",
        digest=f"sha256:{name}",
        metrics={
            "accuracy": accuracy,
            "precision": accuracy,
            "recall": accuracy,
            "macro_f1": accuracy - 0.001,
            "calibration_error": 0.04,
        },
        confusion=[[45, 5], [7, 43]],
        size_bytes=int(megabytes * 1e6),
        parameters=int(megabytes * 250_000),
        latency=[
            Latency(
                batch=batch,
                length=length,
                p50_ms=milliseconds * batch * length / 32,
                p95_ms=milliseconds * batch * length / 30,
                p99_ms=milliseconds * batch * length / 28,
                samples=150,
                round_p50_ms=[milliseconds * batch * length / 33, milliseconds * batch * length / 32],
            )
            for batch, length in CELLS
        ],
        throughput=1000 / milliseconds,
        load_seconds=0.2,
        peak_memory_bytes=200_000_000,
        speedup=speedup,
    )


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return parse_recipe(
        {
            "name": "Reviews",
            "seed": 3,
            "data": {"source": "files", "train": "train.csv"},
            "model": {"source": "encoder"},
            "prune": {"method": "none"},
        }
    )


@pytest.fixture(scope="session")
def results(recipe: Recipe) -> dict[str, Any]:
    """Arguments of `build_report`: a chain whose pruning is switched off, and an accepted model."""
    names = ["teacher", "distilled", "quantized"]
    distilled = checkpoint("distilled", 0.88, {"layers": [1, 3, 5]})
    return {
        "context": RunContext(recipe=recipe, output="/out", storage="/store", mlflow_run_id="run-pipeline"),
        "data": PreparedData(
            record=record("data"),
            artifact=artifact("data"),
            content_digest="sha256:rows",
            labels=["negative", "positive"],
            rows={"train": 1000, "validation": 100, "test": 100},
            bad_rows=[BadRows(kind="empty_text", count=12, lines=[f"train:{line}" for line in range(10)])],
        ),
        "models": [
            TrainedModel(record=record("train"), checkpoint=checkpoint("teacher", 0.9, {})),
            DistilledModel(record=record("distill"), checkpoint=distilled),
            PrunedModel(record=record("prune", "skipped"), checkpoint=distilled),
            QuantizedModel(
                record=record("quantize"),
                checkpoint=checkpoint("quantized", 0.879, {"sensitivity": {"classifier": 0.012}}),
                scheme="dynamic",
                layers_kept=["classifier"],
            ),
        ],
        "exported": ExportedModels(
            record=record("export"),
            models=[
                OnnxModel(
                    name=name,
                    stage="train",
                    artifact=artifact(name),
                    precision="fp32",
                    parameters=1000,
                    graph_bytes=1000,
                    source=artifact(name),
                    parity_max_abs_diff=2e-6,
                )
                for name in names
            ],
        ),
        "evaluation": EvaluationReport(
            record=record("evaluate"),
            artifact=artifact("evidence"),
            candidates=[
                candidate("teacher-pytorch", 0.9, 90.9, 12.1, 0.6),
                candidate("teacher", 0.9, 91.0, 5.4, 1.0),
                candidate("distilled", 0.89, 46.0, 2.7, 2.0),
                candidate("quantized", 0.885, 11.6, 0.67, 8.06),
                candidate("floor", 0.8, 1.4, 0.3, 18.0),
            ],
            selected="quantized",
            baseline="teacher",
            reference="teacher",
            machine={"cpu": "a processor", "cores": 2, "gpus": [], "system": "Linux", "versions": {"torch": "2.13.0"}}
            | {"background_load": 0.02},
        ),
        "verdict": Verdict(
            record=record("gate"),
            verdict="ACCEPTED",
            selected="quantized",
            checks=[
                Check(
                    name="accuracy_kept",
                    verdict="ACCEPTED",
                    value=0.98333,
                    threshold=0.97,
                    unit="share",
                    direction="at_least",
                ),
                Check(name="speedup", verdict="ACCEPTED", value=8.06, threshold=6, unit="x", direction="at_least"),
            ],
        ),
        "registered": RegisteredVersion(record=record("register"), name="reviews", version="4", aliases=["challenger"]),
    }


@pytest.fixture
def report(results: dict[str, Any]) -> dict[str, Any]:
    """The report, to be changed freely."""
    return copy.deepcopy(build_report(**results))


@pytest.fixture
def rejected(report: dict[str, Any]) -> dict[str, Any]:
    """The report of a model that is too slow and answered NaN."""
    report["verdict"] = "REJECTED"
    report["checks"][0] |= {"verdict": "REJECTED", "value": None}
    report["checks"][1] |= {"verdict": "REJECTED", "value": 1.2}
    report["candidates"][3] |= {"metrics": {"nonfinite_rows": 3.0}, "confusion": []}
    report["registered"] = {"name": "", "version": "", "aliases": []}
    report["stages"][-1] |= {"status": "skipped", "reason": "the verdict is REJECTED"}
    return report
