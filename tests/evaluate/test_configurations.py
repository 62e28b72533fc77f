import numpy as np
import onnx
import onnxruntime
import pytest

from hone.tasks.evaluate.configurations import configurations, thread_counts


@pytest.mark.parametrize(
    ("most", "expected"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (12, [1, 2, 4, 8, 12])]
)
def test_one_thread_and_all_are_tried_and_powers_of_two_between(most, expected):
    assert thread_counts(most) == expected


def test_on_the_cpu_a_model_may_run_on_one_core_or_on_all(tiny_subjects, tmp_path):
    found = configurations(tiny_subjects["onnxruntime"], "cpu", 2, tmp_path / "fp16")
    assert [one.name for one in found] == ["fp32, 1 thread", "fp32, 2 threads"]
    assert not (tmp_path / "fp16").exists()


def test_on_a_gpu_the_dense_teacher_may_run_in_fp16_which_answers_nearly_the_same(tiny_subjects, tmp_path):
    teacher = tiny_subjects["onnxruntime"]
    assert [one.name for one in configurations(teacher, "cuda", 4)] == ["fp32, 1 thread", "fp32, 4 threads"]
    found = configurations(teacher, "cuda", 2, tmp_path / "fp16")
    assert [one.name for one in found[2:]] == ["fp16, 1 thread", "fp16, 2 threads"]
    half = found[2]
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
