import json
from pathlib import Path

import numpy as np
import pytest

from hone.configs.delivery import EvaluateSettings
from hone.configs.recipe import parse_recipe
from hone.tasks import evidence, progress, store
from hone.tasks.contracts import (
    ChampionAnswers,
    Checkpoint,
    ExportedModels,
    OnnxModel,
    PreparedData,
    SessionSettings,
    StageRecord,
    TrainedModel,
)
from hone.tasks.device import computes_bf16
from hone.tasks.evaluate import machine
from hone.tasks.evaluate.latency import Timing
from hone.tasks.evaluate.task import disturbed, evaluate_models
from hone.tasks.gate.task import decide
from hone.tasks.objectives.judging import judging
from hone.tasks.stage import RunContext

# One worker runs them all, as they share one evaluation.
CELLS = ["1x4", "2x8"]


def record(name):
    return StageRecord(name=name, status="ran", reason="first run of this stage", seconds=1.0)


@pytest.fixture(scope="module")
def inputs(tiny_folder, tiny_onnx_folder, prepared_folder):
    checkpoint = store.describe(tiny_folder, [])
    exported = store.describe(tiny_onnx_folder, [checkpoint.digest])

    def onnx(name, stage):
        return OnnxModel(
            name=name,
            stage=stage,
            artifact=exported,
            precision="fp32",
            parameters=100,
            graph_bytes=(tiny_onnx_folder / "model.onnx").stat().st_size,
            source=checkpoint,
        )

    return {
        "data": PreparedData(
            record=record("data"),
            artifact=store.describe(prepared_folder, []),
            content_digest="sha256:0",
            labels=["bad", "good"],
            rows={"train": 200, "validation": 40, "test": 60},
        ),
        "teacher": TrainedModel(
            record=record("train"),
            checkpoint=Checkpoint(
                artifact=checkpoint,
                parameters=100,
                nonzero_parameters=100,
                validation_accuracy=0.5,
                validation_loss=0.7,
            ),
        ),
        "exported": ExportedModels(
            record=record("export"), models=[onnx("teacher", "train"), onnx("distilled", "distill")]
        ),
    }


def context(storage: Path, **evaluate) -> RunContext:
    settings = {
        "cells": CELLS,
        "rounds": 1,
        "samples": 3,
        "cell_seconds": 0.1,
        "threads": 1,
        "robustness": ["typos"],
        "quiet_seconds": 0,
        "torch_compile_seconds": 0,
        **evaluate,
    }
    recipe = parse_recipe(
        {
            "data": {"source": "files", "train": "train.csv"},
            "model": {"source": "tiny", "max_length": 16},
            "evaluate": settings,
            "gate": {"max_background_load": 1},
        }
    )
    return RunContext(recipe=recipe, output=str(storage / "out"), storage=str(storage / "store"))


class Notes:
    def __init__(self):
        self.seen = []

    def started(self, stage):
        pass

    def advanced(self, stage, done, total, note):
        self.seen.append((done, total, note))

    def finished(self, record, headline):
        pass


@pytest.fixture(scope="module")
def run(inputs, tmp_path_factory):
    """One evaluation, with what it told on the way."""
    storage, notes = tmp_path_factory.mktemp("evaluation"), Notes()
    with progress.listening(notes):
        report = evaluate_models.fn(context(storage), **inputs)
    return storage, report, notes.seen


def test_every_model_of_the_chain_is_measured_with_the_teacher_in_pytorch_and_the_baseline(run):
    _, report, _ = run
    assert [candidate.name for candidate in report.candidates] == ["teacher-pytorch", "teacher", "distilled", "floor"]
    assert [candidate.runtime for candidate in report.candidates] == [
        "pytorch",
        "onnxruntime",
        "onnxruntime",
        "sklearn",
    ]
    assert (report.baseline, report.reference, report.selected) == ("teacher", "teacher", "distilled")
    for candidate in report.candidates:
        assert set(candidate.metrics) == {"accuracy", "precision", "recall", "macro_f1", "calibration_error"}
        assert [f"{cell.batch}x{cell.length}" for cell in candidate.latency] == CELLS
        assert sum(map(sum, candidate.confusion)) == 60
        assert candidate.size_bytes > 0
        assert candidate.parameters > 0
        assert candidate.throughput > 0


def test_providers_are_those_the_sessions_report(run):
    _, report, _ = run
    assert [candidate.provider for candidate in report.candidates] == [
        "cpu",
        "CPUExecutionProvider",
        "CPUExecutionProvider",
        "cpu",
    ]


def test_the_same_model_is_as_good_in_either_runtime_and_the_baseline_is_as_fast_as_itself(run):
    _, report, _ = run
    in_pytorch, baseline = report.candidate("teacher-pytorch"), report.candidate("teacher")
    assert in_pytorch.metrics == pytest.approx(baseline.metrics, abs=1e-5)
    assert baseline.speedup == 1.0


def test_the_baseline_learns_what_a_word_tells(run):
    # One word of each text tells its label, so that anything that counts words is nearly always right.
    assert run[1].candidate("floor").metrics["accuracy"] > 0.9


def test_every_metric_can_be_computed_again_from_the_evidence(run):
    _, report, _ = run
    folder = store.open_artifact(report.artifact)
    labels = np.load(folder / "labels.npy", allow_pickle=False)
    for candidate in report.candidates:
        logits = np.load(folder / "logits" / f"{candidate.name}.npy", allow_pickle=False)
        assert logits.dtype == np.float32
        score = judging("text-classification").score(logits, labels, EvaluateSettings())
        assert (score.metrics, score.confusion) == (candidate.metrics, candidate.confusion)
    timings = json.loads((folder / "timings.json").read_text())
    first = Timing(**timings["teacher"][0])
    assert report.candidate("teacher").latency[0].p50_ms == pytest.approx(np.median(first.milliseconds[0]), abs=1e-4)


def test_progress_rises_and_ends_where_it_said_it_would(run):
    done, total, _ = run[2][-1]
    assert done == total
    assert [step for step, _, _ in run[2]] == sorted(step for step, _, _ in run[2])


def test_every_hand_off_is_compared_and_the_selected_model_serves(run):
    _, report, _ = run
    assert [(one.model, one.kind) for one in report.handoffs] == [("teacher", "exact"), ("distilled", "exact")]
    assert all(one.max_abs_difference < 1e-4 and one.agreement == 1.0 for one in report.handoffs)
    assert report.serving is not None
    assert report.serving.answered == report.serving.requests == 32
    assert (store.open_artifact(report.artifact) / "golden.json").is_file()


def test_every_session_says_where_its_nodes_ran(run):
    _, report, _ = run
    for name in ("teacher", "distilled"):
        placement = report.candidate(name).placement
        assert placement.asked == placement.got == ["cpu"]
        assert placement.nodes["cpu"] > 10
        assert placement.fallback == []
    assert report.candidate("teacher-pytorch").placement is None
    assert report.session == SessionSettings(providers=["cpu"], threads=1, memory_arena=True)


def test_the_dense_teacher_says_for_each_cell_what_ran_it(run):
    _, report, _ = run
    assert {cell.configuration for cell in report.candidate("teacher").latency} == {"fp32, 1 thread"}
    assert {cell.samples for cell in report.candidate("teacher").latency} == {3}
    in_pytorch = report.candidate("teacher-pytorch")
    precisions = ["fp32, 1 thread", *(["bf16, 1 thread"] if computes_bf16("cpu") else [])]
    assert {cell.configuration for cell in in_pytorch.latency} <= set(precisions)
    assert [row.configuration for row in in_pytorch.configurations] == precisions
    assert in_pytorch.timing_note == ""


def test_every_exported_model_has_a_speedup_with_one_thread_and_a_time_from_the_text_on(run):
    _, report, _ = run
    teacher, selected, floor = (report.candidate(name) for name in ("teacher", "distilled", "floor"))
    assert teacher.speedup_per_core == 1.0
    assert selected.speedup_per_core > 0
    assert [len(one.one_thread) for one in (teacher, selected, floor)] == [2, 2, 0]
    assert all(cell.from_text_ms > cell.p50_ms for one in (teacher, selected) for cell in one.latency)
    assert all(cell.from_text_ms == cell.p50_ms for cell in floor.latency)
    folder = store.open_artifact(report.artifact)
    assert [len(cell) for cell in evidence.read_calls(folder, "distilled+one thread")] == [1, 1]


def test_texts_are_perturbed_where_the_recipe_asks(run):
    _, report, _ = run
    names = {path.stem for path in (store.open_artifact(report.artifact) / "logits").iterdir()}
    assert {"distilled+typos", "teacher+typos"} <= names


def test_the_selected_model_answers_one_text_at_a_time_too(run):
    _, report, _ = run
    folder = store.open_artifact(report.artifact)
    alone, together = (evidence.read_logits(folder, f"distilled{how}") for how in ("+alone", ""))
    assert alone.shape == together.shape
    np.testing.assert_allclose(alone, together, atol=1e-4)  # fp32: neighbours do not matter


def test_an_evaluation_is_reused_until_a_setting_or_the_machine_changes(run, inputs, monkeypatch):
    storage, report, _ = run
    again = evaluate_models.fn(context(storage), **inputs)
    assert again.record.status == "cached", again.record.reason
    assert again.candidates == report.candidates

    def refuse(*_, **__):
        raise RuntimeError("measured again")

    monkeypatch.setattr("hone.tasks.evaluate.timing.time_models", refuse)
    with pytest.raises(RuntimeError, match="measured again"):
        evaluate_models.fn(context(storage, samples=4), **inputs)
    with monkeypatch.context() as disturbance:
        disturbance.setitem(report.machine, "background_load", 0.86)
        assert disturbed(report, 0.2) == "others took 86% of the machine while it was timed"
        disturbance.setattr("hone.tasks.evaluate.task.disturbed", lambda *_: "others took 86% of the machine")
        with pytest.raises(RuntimeError, match="measured again"):
            evaluate_models.fn(context(storage), **inputs)
    assert disturbed(report, 1.0) == ""
    elsewhere = {**machine.hardware(), "cpu": "another processor"}
    monkeypatch.setattr(machine, "hardware", lambda: elsewhere)
    with pytest.raises(RuntimeError, match="measured again"):
        evaluate_models.fn(context(storage), **inputs)


def test_the_gate_decides_on_what_was_measured(run, inputs):
    storage, report, _ = run
    nobody = ChampionAnswers(record=record("champion"))
    verdict = decide.fn(context(storage), inputs["data"], report, nobody)
    assert verdict.selected == "distilled"
    found = {(check.name, check.subject): check for check in verdict.checks}
    assert found["size_fraction", ""].value == 1.0
    # The same model twice: no row tells them apart, and 60 rows do not show a margin of 2 points even so.
    assert found["accuracy_difference", "teacher"].value == 0.0
    assert found["accuracy_difference", "teacher"].verdict == "INCONCLUSIVE"
    assert found["accuracy_difference", "teacher, alone"].rows == 60
    assert found["accuracy_difference", "teacher, typos"].rows == 60
    assert found["accuracy_above_baseline", "teacher"].verdict == "REJECTED"
    assert found["speedup", ""].verdict in ("REJECTED", "INCONCLUSIVE")  # three calls of each
    assert not found["speedup_per_core", ""].decides
    assert found["serves", ""].verdict == "ACCEPTED"
    assert {part.subject for part in verdict.slices} >= {"label = bad", "label = good"}
    assert not any(part.decides for part in verdict.slices)
    assert verdict.verdict == "REJECTED"
    assert decide.fn(context(storage), inputs["data"], report, nobody).record.status == "cached"
