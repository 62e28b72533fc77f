"""The report of a made-up run, through the contracts that a real one goes through."""

import copy
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from hone.configs.recipe import Recipe, parse_recipe
from hone.tasks.contracts import (
    Artifact,
    BadRows,
    Candidate,
    ChampionAnswers,
    Check,
    Checkpoint,
    ConversionCheck,
    Curve,
    DistilledModel,
    EvaluationReport,
    ExportedModels,
    Latency,
    OnnxModel,
    Placement,
    PreparedData,
    Promotion,
    PromotionRecord,
    PrunedModel,
    QuantizedModel,
    RegisteredVersion,
    Serving,
    StageRecord,
    TrainedModel,
    Verdict,
)
from hone.tasks.report import page, plots
from hone.tasks.report.build import Findings, build_report
from hone.tasks.stage import RunContext

CELLS = {(1, 16): "fp32, 1 thread", (1, 32): "fp32, 1 thread", (32, 32): "fp32, 2 threads"}
"""What the dense teacher runs best in."""


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
        provider="cpu",
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
                samples=300 if length == 16 else 150,
                round_p50_ms=[milliseconds * batch * length / 33, milliseconds * batch * length / 32],
                configuration=CELLS[batch, length] if name == "teacher" else "",
                from_text_ms=milliseconds * batch * length / 32 + (0 if name == "floor" else 0.05),
            )
            for batch, length in CELLS
        ],
        throughput=1000 / milliseconds,
        load_seconds=0.2,
        peak_memory_bytes=200_000_000,
        speedup=speedup,
        speedup_per_core=0.0 if name in ("teacher-pytorch", "floor") else 1.5 * speedup if speedup > 1 else speedup,
        placement=None
        if name in ("teacher-pytorch", "floor")
        else Placement(
            asked=["cuda", "cpu"],
            got=["cpu"],
            nodes={"cpu": 87},
            operators={"cpu": {"Add": 50, "MatMul": 37}},
            fallback=[f"node_{place}" for place in range(87)],
        ),
    )


def difference(name: str, subject: str, value: float, low: float, high: float, **changes: Any) -> Check:
    """An accepted check of a difference, unless the changes say otherwise."""
    fields = {"verdict": "ACCEPTED", "threshold": -0.02, "level": 0.05, "rows": 100} | changes
    return Check(
        name=name, subject=subject, value=value, low=low, high=high, unit="points", direction="above", **fields
    )


def handoff(model: str, source: str, target: str, kind: str, apart: float, **changes: Any) -> ConversionCheck:
    """A hand-off in which no label changes, unless the changes say otherwise."""
    fields = {"rms_share": apart / 2, "agreement": 1.0, "accuracy_difference": 0.0} | changes
    return ConversionCheck(
        model=model,
        source=source,
        target=target,
        kind=kind,
        rows=100,
        max_abs_difference=apart,
        **fields,  # type: ignore[arg-type]
    )


def parity(step: ConversionCheck) -> Check:
    """The accepted check of a hand-off."""
    subject = f"{step.model}, {step.source} → {step.target}"
    about: dict[str, Any] = {
        "exact": {"value": step.max_abs_difference, "threshold": 0.001, "direction": "at_most"},
        "rounded": {"value": step.agreement, "threshold": 0.9, "unit": "share", "direction": "at_least"},
        "integer": {"value": step.rms_share, "threshold": 0.05, "unit": "share", "direction": "at_most"},
    }[step.kind]
    return Check(name="parity", subject=subject, verdict="ACCEPTED", rows=step.rows, **about)


HANDOFFS = [
    handoff("teacher", "pytorch", "onnx (cpu)", "exact", 6.4e-6),
    handoff("distilled", "pytorch", "onnx (cpu)", "exact", 3.5e-6),
    handoff("quantized", "pytorch", "fake-quantised", "rounded", 0.21, agreement=0.98, accuracy_difference=-0.01),
    handoff("quantized", "fake-quantised", "onnx (cpu)", "integer", 0.0178),
]
SLICES = [
    difference("slice", "label = negative", -0.002, -0.021, 0.016, threshold=-0.05, level=0.025, rows=160),
    difference("slice", "label = positive", -0.01, -0.035, 0.015, threshold=-0.05, rows=140),
    difference(
        "slice",
        "genre = travel",
        -0.2,
        -0.5,
        0.1,
        threshold=-0.05,
        rows=5,
        verdict="INCONCLUSIVE",
        decides=False,
        detail="5 rows, fewer than gate.min_slice_rows = 100: told, not decided",
    ),
]
EXAMPLES = {
    "lost": [
        {
            "row": 17,
            "text": "a fine <b>film</b> that never quite comes alive",
            "pair": None,
            "label": "negative",
            "reference": "negative",
            "candidate": "positive",
            "probability": 0.971,
        }
    ],
    "won": [
        {
            "row": 4,
            "text": "not once did i look at my watch",
            "pair": "asked at the door",
            "label": "positive",
            "reference": "negative",
            "candidate": "positive",
            "probability": 0.883,
        }
    ],
    "lost_rows": 3,
    "won_rows": 1,
}


_DRAWN: dict[str, Any] = {}
PARTS = ("candidates", "checks", "metrics", "reference", "selected")
"""What the plots of a whole report are drawn of."""


@pytest.fixture
def drawn_anew() -> None:
    """For what is about the drawing itself."""


@pytest.fixture(autouse=True)
def _draw_the_same_plot_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of the time of a page, and most tests change nothing of what is drawn: of the same numbers the
    first plot is shown again, unless a test asks for `drawn_anew`. What draws a report is given nothing else of it."""
    if "drawn_anew" in request.fixturenames:
        return

    def drawn(draw: Callable[..., Any], *given: Any) -> Any:
        key = draw.__name__ + json.dumps(given)
        if key not in _DRAWN:
            _DRAWN[key] = draw(*given)
        return _DRAWN[key]

    def of_report(draw: Callable[..., Any], report: dict[str, Any]) -> Any:
        return drawn(draw, {part: report[part] for part in PARTS if part in report})

    monkeypatch.setattr(plots, "_small_multiple", partial(drawn, plots._small_multiple))
    monkeypatch.setattr(plots, "quality_against_latency", partial(of_report, plots.quality_against_latency))
    monkeypatch.setattr(page, "waterfall", partial(of_report, page.waterfall))


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
    """What `told` makes a report of: a chain whose pruning is switched off, and an accepted model."""
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
            handoffs=HANDOFFS,
            serving=Serving(
                requests=32, answered=32, max_abs_difference=2e-7, load_seconds=0.21, peak_memory_bytes=181_000_000
            ),
        ),
        "verdict": Verdict(
            record=record("gate"),
            verdict="ACCEPTED",
            selected="quantized",
            checks=[
                Check(
                    name="size_fraction",
                    verdict="ACCEPTED",
                    value=0.1275,
                    threshold=0.5,
                    unit="share",
                    direction="at_most",
                ),
                difference("accuracy_difference", "teacher", -0.0042, -0.0131, 0.0047),
                difference("accuracy_difference", "champion", 0.003, -0.006, 0.012),
                difference("accuracy_difference", "teacher, typos", -0.006, -0.017, 0.005),
                difference("accuracy_above_baseline", "", 0.085, 0.05, 0.12, threshold=0.0),
                Check(
                    name="speedup",
                    verdict="ACCEPTED",
                    value=8.06,
                    threshold=6,
                    unit="x",
                    direction="at_least",
                    low=7.61,
                    high=8.55,
                    level=0.05,
                ),
                *(parity(step) for step in HANDOFFS),
                Check(
                    name="serves",
                    verdict="ACCEPTED",
                    value=1.0,
                    threshold=1.0,
                    unit="share",
                    direction="at_least",
                    rows=32,
                ),
            ],
            slices=SLICES,
        ),
        "champion": ChampionAnswers(record=record("champion"), name="reviews", version="3", digest="sha256:champion"),
        "registered": RegisteredVersion(record=record("register"), name="reviews", version="4", aliases=["challenger"]),
        "promotion": Promotion(
            record=record("promote"),
            change=PromotionRecord(
                number=2,
                name="reviews",
                action="promote",
                from_version="3",
                to_version="4",
                when="2026-02-03T04:05:06+00:00",
                who="alice",
            ),
        ),
        "examples": EXAMPLES,
    }


def findings(results: dict[str, Any]) -> Findings:
    """What the stages of the run gave."""
    return Findings(**{key: result for key, result in results.items() if key not in ("context", "examples")})


def told(results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The report of the run, or of one that differs from it."""
    return build_report(results["context"], findings(results | changes), results["examples"])


@pytest.fixture
def report(results: dict[str, Any]) -> dict[str, Any]:
    """The report, to be changed freely."""
    return copy.deepcopy(told(results))


def check_of(report: dict[str, Any], name: str, subject: str = "") -> dict[str, Any]:
    """The check of that name, to be changed."""
    found: dict[str, Any] = next(
        check for check in report["checks"] if (check["name"], check["subject"]) == (name, subject)
    )
    return found


@pytest.fixture
def rejected(report: dict[str, Any]) -> dict[str, Any]:
    """The report of a model that is too slow and answered NaN."""
    report["verdict"] = "REJECTED"
    check_of(report, "accuracy_difference", "teacher").update(
        verdict="REJECTED", value=None, low=None, high=None, level=None, detail="one of the two gave no answers"
    )
    check_of(report, "speedup").update(verdict="REJECTED", value=1.2, low=1.1, high=1.3)
    report["candidates"][3] |= {"metrics": {"nonfinite_rows": 3.0}, "confusion": []}
    report["registered"] = {"name": "", "version": "", "aliases": []}
    report["promotion"], report["serving"] = None, None
    report["examples"] = {"lost": [], "won": [], "lost_rows": 0, "won_rows": 0}
    for stage in report["stages"][-2:]:
        stage |= {"status": "skipped", "reason": "the verdict is REJECTED"}
    return report


@pytest.fixture
def inconclusive(report: dict[str, Any]) -> dict[str, Any]:
    """The report of a model whose accuracy is neither shown to be kept nor to be lost."""
    report["verdict"] = "INCONCLUSIVE"
    check_of(report, "accuracy_difference", "teacher").update(
        verdict="INCONCLUSIVE",
        value=-0.0142,
        low=-0.0231,
        detail="100 rows show a margin of 2.31 points at best; about 2,400 rows would settle it",
    )
    return report
