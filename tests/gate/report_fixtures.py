"""Reports of an evaluation as the gate's checks are asked about them, made by hand."""

from hone.configs.delivery import GateSettings
from hone.tasks.contracts import Artifact, Candidate, EvaluationReport, Placement, Serving, StageRecord

RECORD = StageRecord(name="evaluate", status="ran", reason="", seconds=0.0)
ARTIFACT = Artifact(uri="file:///evidence", digest="sha256:0", size_bytes=1)
NOTHING = GateSettings(max_size_fraction=None, min_speedup=None, beat_baseline=False, resamples=500)
SERVING = Serving(requests=8, answered=8, max_abs_difference=0.0, load_seconds=0.4, peak_memory_bytes=90_000_000)


def candidate(
    name: str, accuracy: float | None, size_bytes: int = 100, placement: Placement | None = None
) -> Candidate:
    return Candidate(
        name=name,
        stage="train",
        runtime="onnxruntime",
        provider="CPUExecutionProvider",
        precision="fp32",
        metrics={} if accuracy is None else {"accuracy": accuracy, "calibration_error": 0.05},
        confusion=[],
        size_bytes=size_bytes,
        parameters=10,
        placement=placement,
    )


def report(*candidates: Candidate, selected: str = "quantized", serving: Serving | None = SERVING) -> EvaluationReport:
    return EvaluationReport(
        record=RECORD,
        artifact=ARTIFACT,
        candidates=list(candidates),
        selected=selected,
        baseline="teacher",
        reference="teacher",
        machine={},
        serving=serving,
    )


GOOD = report(candidate("teacher", 0.9), candidate("quantized", 0.882, 16), candidate("floor", 0.8, 5))
