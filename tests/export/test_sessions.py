"""Sessions get what works, in the recipe's order, without a word about what does not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hone.tasks.model.runtime.sessions import PROVIDERS, available_providers, create_session, provider_names

ROOT = Path(__file__).parents[2]
BUILT_IN = [word for word, name in PROVIDERS.items() if name in onnxruntime.get_available_providers()]
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="tells what happens without a GPU")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """y = x W with a constant W in 8 bits: the kernel whose fast form overflows on older CPUs."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "one",
        [value("x", TensorProto.UINT8, [1, 4])],
        [value("y", TensorProto.INT32, [1, 2])],
        [numpy_helper.from_array(np.full((4, 2), 127, np.int8), "w")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("given", ["path", "bytes"])
def test_a_session_on_the_cpu_answers(model: Path, given: str) -> None:
    session = create_session(model if given == "path" else model.read_bytes(), ["cpu"], threads=1)
    assert provider_names(session) == ["cpu"]
    assert session.get_session_options().intra_op_num_threads == 1
    # 4 * 255 * 127: pairs of products overflow 16 bits where a CPU adds them before widening.
    assert session.run(None, {"x": np.full((1, 4), 255, np.uint8)})[0].tolist() == [[129540, 129540]]


@no_gpu
@pytest.mark.parametrize("providers", [["tensorrt", "cuda", "cpu"], ["cuda", "cpu"], ["tensorrt"], ["cuda"]])
def test_providers_that_do_not_work_here_fall_back_to_the_cpu(model: Path, providers: list[str]) -> None:
    assert provider_names(create_session(model, providers)) == ["cpu"]


@no_gpu
def test_only_a_session_tells_what_is_obtainable() -> None:
    assert available_providers(["tensorrt", "cuda", "cpu"]) == ["cpu"]
    assert available_providers(["cuda"]) == []
    assert "cpu" in BUILT_IN


@no_gpu
def test_falling_back_prints_nothing_and_a_broken_model_is_still_an_error(model: Path) -> None:
    """Looked at from outside, as onnxruntime writes below Python."""
    script = (
        "import sys; from pathlib import Path; from hone.tasks.model.runtime.sessions import create_session;"
        "create_session(Path(sys.argv[1]), ['tensorrt', 'cuda', 'cpu'])"
    )
    done = subprocess.run([sys.executable, "-c", script, model], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    model.write_bytes(b"\x08\x09 not a graph")
    done = subprocess.run([sys.executable, "-c", script, model], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error" in done.stderr
