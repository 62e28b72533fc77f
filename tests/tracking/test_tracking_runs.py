"""One run for the pipeline, a nested one for each stage, and in them what a person would look for."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from hone.tasks import tracking, version
from hone.tasks.contracts import (
    Artifact,
    BadRows,
    Candidate,
    Check,
    ConfigurationTiming,
    ConversionCheck,
    EvaluationReport,
    Latency,
    PreparedData,
    StageRecord,
    Verdict,
)
from hone.tasks.tracking import numbers, server

RECORD = StageRecord(name="data", status="ran", reason="first run of this stage", seconds=1.0)
DATA = PreparedData(
    record=RECORD,
    artifact=Artifact(uri="file:///data", digest="sha256:" + "a" * 64, size_bytes=3),
    content_digest="sha256:" + "b" * 64,
    labels=["bad", "good"],
    rows={"train": 10, "validation": 2, "test": 3},
    bad_rows=[BadRows(kind="empty_text", count=2, lines=["train:3", "train:7"])],
)
REPORT = EvaluationReport(
    record=RECORD,
    artifact=Artifact(uri="file:///evidence", digest="sha256:" + "d" * 64, size_bytes=5),
    candidates=[
        Candidate(
            name="teacher",
            stage="train",
            runtime="onnxruntime",
            provider="CPUExecutionProvider",
            precision="fp32",
            digest="sha256:" + "c" * 64,
            metrics={"accuracy": 0.9},
            confusion=[[1, 0], [0, 1]],
            size_bytes=100,
            parameters=7,
            latency=[Latency(batch=1, length=16, p50_ms=2.0, p95_ms=3.0, p99_ms=4.0, samples=9, round_p50_ms=[2.0])],
            speedup_per_core=2.5,
            one_thread=[Latency(batch=1, length=16, p50_ms=5.0, p95_ms=6.0, p99_ms=7.0, samples=9)],
            configurations=[ConfigurationTiming(configuration="fp32, 1 thread", threads=1, p50_ms={"1x16": 5.0})],
        )
    ],
    selected="teacher",
    baseline="teacher",
    reference="teacher",
    machine={"cores": 2},
)


def run(run_id: str) -> Any:
    return server.client().get_run(run_id)


def test_a_stage_is_a_run_nested_in_the_pipelines_own(storage: Path) -> None:
    with tracking.pipeline_run("nesting", {}, {}) as pipeline, tracking.stage_run(pipeline, "distill") as log:
        assert run(log.run_id).info.status == "RUNNING"
    stage = run(log.run_id)
    assert stage.data.tags["mlflow.parentRunId"] == pipeline
    assert (stage.info.run_name, stage.info.status, stage.data.tags["hone.status"]) == ("distill", "FINISHED", "ran")
    assert (run(pipeline).info.run_name, run(pipeline).info.status) == ("nesting", "FINISHED")
    assert stage.info.experiment_id == run(pipeline).info.experiment_id
    nested = f"tags.mlflow.parentRunId = '{pipeline}'"
    assert len(server.client().search_runs([stage.info.experiment_id], nested)) == 1


def test_settings_become_params_by_dotted_key_however_many(storage: Path) -> None:
    many = {f"setting{place}": place for place in range(150)}
    settings = {
        "train": {"epochs": 3, "layers": [1, 2]},
        "gate": {"min_accuracy": None, "beat_baseline": True},
        "text": "",
    }
    with tracking.pipeline_run("params", settings | many, {}) as pipeline:
        pass
    params = run(pipeline).data.params
    assert (
        params.items()
        >= {
            "train.epochs": "3",
            "train.layers": "[1, 2]",
            "gate.min_accuracy": "null",
            "gate.beat_baseline": "true",
            "text": "",
            "setting149": "149",
        }.items()
    )
    assert len(params) == 155


def test_metrics_keep_every_step_in_order(storage: Path) -> None:
    with tracking.pipeline_run("metrics", {}, {}) as pipeline, tracking.stage_run(pipeline, "train") as log:
        for step in range(1200):
            log.metrics({"train_loss": 1 / (step + 1)}, step)
    history = server.client().get_metric_history(log.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(step, 1 / (step + 1)) for step in range(1200)]


@pytest.mark.parametrize(("raised", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_raises_says_so_and_keeps_its_metrics(
    storage: Path, raised: type[BaseException], status: str
) -> None:
    runs = []

    def fail() -> None:
        with tracking.pipeline_run("failure", {}, {}) as pipeline, tracking.stage_run(pipeline, "train") as log:
            runs.extend([log.run_id, pipeline])
            log.metrics({"train_loss": 0.5}, 7)
            raise raised

    with pytest.raises(raised):
        fail()
    assert [run(run_id).info.status for run_id in runs] == [status, status]
    assert run(runs[0]).data.metrics["train_loss"] == 0.5


def test_a_run_of_a_moment_has_system_metrics(storage: Path) -> None:
    with tracking.pipeline_run("system", {}, {}) as pipeline, tracking.stage_run(pipeline, "gate") as log:
        sum(range(10**6))
    for metrics in (run(pipeline).data.metrics, run(log.run_id).data.metrics):
        assert metrics["system/system_memory_usage_megabytes"] > 0
        assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100


def test_data_is_an_input_of_the_stage_and_of_the_pipeline_by_digest(storage: Path) -> None:
    with tracking.pipeline_run("dataset", {}, {}) as pipeline, tracking.stage_run(pipeline, "data") as log:
        log.result(DATA)
    for run_id in (pipeline, log.run_id):
        inputs = run(run_id).inputs.dataset_inputs
        tags = [{tag.key: tag.value for tag in found.tags} for found in inputs]
        assert sorted(found.dataset.name for found in inputs) == ["dataset-test", "dataset-train", "dataset-validation"]
        assert {found.dataset.digest for found in inputs} == {"b" * 36}
        assert {found["hone.digest"] for found in tags} == {DATA.content_digest}
        assert sorted(found["mlflow.data.context"] for found in tags) == ["test", "training", "validation"]


@pytest.mark.parametrize("target", get_args(PreparedData.model_fields["target"].annotation))
def test_data_of_every_kind_are_described_to_mlflow_by_their_columns(storage: Path, target: str) -> None:
    with tracking.pipeline_run(f"of {target}", {}, {}) as pipeline, tracking.stage_run(pipeline, "data") as log:
        log.result(DATA.model_copy(update={"target": target}))
    for found in run(pipeline).inputs.dataset_inputs:
        columns = [column["name"] for column in json.loads(found.dataset.schema)["mlflow_colspec"]]
        assert columns == (["text"] if target == "text" else ["text", target])


def test_a_result_is_logged_as_metrics_tags_and_whole(storage: Path) -> None:
    with tracking.pipeline_run("result", {}, {}) as pipeline, tracking.stage_run(pipeline, "evaluate") as log:
        log.result(REPORT)
    found = run(log.run_id).data
    assert found.metrics["teacher/metrics/accuracy"] == 0.9
    assert found.tags["hone.teacher.digest"] == "sha256:" + "c" * 64
    whole = server.client().download_artifacts(log.run_id, "result.json")
    assert EvaluationReport.model_validate_json(Path(whole).read_text()) == REPORT


def test_numbers_go_by_the_names_of_what_they_are_of() -> None:
    assert numbers.metrics_of(REPORT) == {
        "size_bytes": 5,
        "teacher/metrics/accuracy": 0.9,
        "teacher/size_bytes": 100,
        "teacher/parameters": 7,
        "teacher/1x16/p50_ms": 2.0,
        "teacher/1x16/p95_ms": 3.0,
        "teacher/1x16/p99_ms": 4.0,
        "teacher/1x16/samples": 9,
        "teacher/throughput": 0,
        "teacher/load_seconds": 0,
        "teacher/peak_memory_bytes": 0,
        "teacher/speedup": 0,
        "teacher/speedup_per_core": 2.5,
        "teacher/1x16/from_text_ms": 0,
    }
    assert numbers.metrics_of(DATA) == {
        "size_bytes": 3,
        "rows/train": 10,
        "rows/validation": 2,
        "rows/test": 3,
        "empty_text/count": 2,
    }
    assert numbers.digests_of(DATA) == {"digest": DATA.artifact.digest, "content_digest": DATA.content_digest}


def check(name: str, subject: str, value: float) -> Check:
    return Check(name=name, subject=subject, verdict="ACCEPTED", value=value, threshold=0.0, direction="above")


def test_checks_slices_and_hand_offs_of_one_name_are_told_apart() -> None:
    step = {"kind": "exact", "rows": 1, "rms_share": 0.0, "agreement": 1.0, "accuracy_difference": 0.0}
    handoffs = [
        ConversionCheck(model="teacher", source="pytorch", target=target, max_abs_difference=apart, **step)
        for target, apart in (("onnx (cpu)", 0.1), ("onnx (cuda)", 0.2))
    ]
    report = numbers.metrics_of(REPORT.model_copy(update={"handoffs": handoffs}))
    assert report["teacher/pytorch/onnx_cpu/max_abs_difference"] == 0.1
    assert report["teacher/pytorch/onnx_cuda/max_abs_difference"] == 0.2
    checks = [check("accuracy_difference", subject, value) for subject, value in SUBJECTS.items()]
    slices = [check("slice", "label = c+", 0.1), check("slice", "label = c-", 0.2), check("slice", "x" * 400, 0.3)]
    made = {"record": REPORT.record, "verdict": "ACCEPTED", "selected": "quantized"}
    found = numbers.metrics_of(Verdict(checks=checks, slices=slices, **made))
    assert found["accuracy_difference/teacher/value"] == -1.0
    assert found["accuracy_difference/teacher_alone/value"] == 0.3
    parts = [value for name, value in found.items() if name.startswith("slice/") and name.endswith("/value")]
    assert sorted(parts) == [0.1, 0.2, 0.3]
    assert all(re.fullmatch(r"[\w./-]{1,250}", name) for name in found)
    with pytest.raises(ValueError, match="accuracy_difference/teacher/value would be both -1 and 2"):
        numbers.metrics_of(Verdict(checks=[*checks, check("accuracy_difference", "teacher", 2.0)], **made))


SUBJECTS = {"teacher": -1.0, "champion": -1.5, "teacher, alone": 0.3}


def test_a_cached_stage_names_the_run_that_computed_it(storage: Path) -> None:
    with tracking.pipeline_run("cached", {}, {}) as pipeline, tracking.stage_run(pipeline, "train") as log:
        log.cached("the first run")
    tags = run(log.run_id).data.tags
    assert (tags["hone.status"], tags["hone.computed_by"]) == ("cached", "the first run")


def test_files_folders_and_the_report_are_artifacts(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curve.svg").write_text("<svg/>")
    (tmp_path / "report.json").write_text("{}")
    with tracking.pipeline_run("files", {}, {}) as pipeline:
        with tracking.pipeline_log(pipeline) as log:
            log.file(tmp_path / "report.json")
            log.file(tmp_path / "plots", "plots")
            log.metrics({"accuracy": 0.75})
        assert run(pipeline).info.status == "RUNNING"
        assert run(pipeline).data.metrics["accuracy"] == 0.75
    listed = server.client().list_artifacts
    assert {item.path for item in listed(pipeline)} == {"report.json", "plots"}
    assert [item.path for item in listed(pipeline, "plots")] == ["plots/curve.svg"]


def test_the_code_version_stands_on_the_pipelines_run(storage: Path) -> None:
    with tracking.pipeline_run("code", {}, {}) as pipeline:
        pass
    tags = run(pipeline).data.tags
    assert tags["hone.code_version"] == version.code_version()
    assert tags.get("mlflow.source.git.commit", "") == version.git_commit()


def test_metrics_that_mlflow_refuses_raise_when_they_are_written_and_are_kept(storage: Path) -> None:
    from mlflow.exceptions import MlflowException

    with tracking.pipeline_run("refused", {}, {}) as pipeline:
        log = tracking.StageLog(pipeline)
        log.metrics({"a name with #": 1.0})
        for _attempt in range(2):
            with pytest.raises(MlflowException, match="Invalid value"):
                log.flush()


def test_without_a_pipelines_run_nothing_is_tracked_and_mlflow_stays_unimported() -> None:
    script = """
import sys
from pathlib import Path
from hone.tasks import tracking
with tracking.stage_run("", "train") as log:
    log.params({"a": 1}); log.metrics({"b": 1.0}, 1); log.tags({"c": "d"}); log.cached("e")
    log.file(Path("absent")); log.text("f", "g"); log.flush()
assert log.run_id == "" and "mlflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
