import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest

from configs.delivery import EvaluateSettings
from tasks.evaluate import dense, machine
from tasks.evaluate.latency import Timing


def test_on_the_cpu_the_teacher_may_run_on_one_core_or_on_all(tiny_subjects, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 4)
    found = dense.configurations(tiny_subjects["onnxruntime"], "cpu", 0, tmp_path / "fp16")
    assert [one.name for one in found] == ["fp32, 1 thread", "fp32, 4 threads"]
    assert [one.threads for one in dense.configurations(tiny_subjects["onnxruntime"], "cpu", 1, tmp_path)] == [1]


def test_on_a_gpu_it_may_run_in_fp16_which_answers_nearly_the_same(tiny_subjects, tmp_path):
    teacher = tiny_subjects["onnxruntime"]
    half = dense.configurations(teacher, "cuda", 2, tmp_path / "fp16")[1]
    assert half.name == "fp16, 2 threads"
    kinds = {
        tensor.data_type
        for tensor in onnx.load(half.subject.folder / "model.onnx").graph.initializer
        if len(tensor.dims) == 2 and tensor.data_type != onnx.TensorProto.INT64
    }
    assert kinds == {onnx.TensorProto.FLOAT16}
    feed = {"input_ids": np.array([[2, 5, 9, 3]]), "attention_mask": np.ones((1, 4), np.int64)}
    answers = [
        onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"]).run(None, feed)[0]
        for folder in (teacher.folder, half.subject.folder)
    ]
    assert answers[1].dtype == np.float32
    assert answers[1] == pytest.approx(answers[0], abs=5e-3)  # measured 2e-4


@pytest.fixture
def two(tiny_subjects):
    return [dense.Configuration(tiny_subjects["onnxruntime"], threads) for threads in (1, 2)]


def test_for_every_cell_the_faster_configuration_is_taken(two, monkeypatch):
    settings = EvaluateSettings(cells=["1x4", "2x8"])
    milliseconds = {"fp32, 1 thread": [[1.0], [9.0]], "fp32, 2 threads": [[2.0], [5.0]]}
    monkeypatch.setattr(
        dense,
        "time_models",
        lambda turns, *_: {turn.name: [Timing(["cpu"], 0.1, 1, milliseconds[turn.name])] for turn in turns},
    )
    chosen = dense.choose(two, settings, ["cpu"], 0, lambda note: None)
    assert {cell: one.name for cell, one in chosen.items()} == {"1x4": "fp32, 1 thread", "2x8": "fp32, 2 threads"}


def test_the_teacher_is_timed_where_each_configuration_is_best_and_put_together_again(two):
    chosen = {"1x4": two[1], "1x8": two[0], "2x8": two[1]}
    turns = dense.turns("teacher", chosen, samples=100, seconds=1e9)
    assert [(turn.name, turn.cells, turn.threads) for turn in turns] == [
        ("teacher: fp32, 2 threads", ("1x4", "2x8"), 2),
        ("teacher: fp32, 1 thread", ("1x8",), 1),
    ]
    base = Timing(["cpu"], 0.1, 10, [])
    timings = {
        turns[0].name: [dataclasses.replace(base, milliseconds=[[1.0], [3.0]])] * 2,
        turns[1].name: [dataclasses.replace(base, load_seconds=0.4, milliseconds=[[2.0]])] * 2,
    }
    rounds = dense.merged("teacher", chosen, timings)
    assert [one.milliseconds for one in rounds] == [[[1.0], [2.0], [3.0]]] * 2
    assert rounds[0].load_seconds == 0.4


def test_a_single_configuration_needs_no_trial(two, monkeypatch):
    monkeypatch.setattr(dense, "time_models", None)
    chosen = dense.choose(two[:1], EvaluateSettings(cells=["1x4"]), ["cpu"], 0, lambda note: None)
    assert chosen == {"1x4": two[0]}
