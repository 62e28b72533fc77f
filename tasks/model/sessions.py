"""onnxruntime sessions, quiet, on the providers that a recipe prefers.

That a provider is among onnxruntime's available ones says only that it was built in. What a session got, it says itself
(`provider_names`), and `obtainable` makes one to ask.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""onnxruntime's names for what recipes call tensorrt, cuda and cpu."""
FATAL, WARNING = 4, 2  # onnxruntime's levels of severity


def create_session(
    model: Path | bytes,
    providers: Sequence[str],
    threads: int = 0,
    options: onnxruntime.SessionOptions | None = None,
) -> onnxruntime.InferenceSession:
    """A session on those of the providers that work on this machine, in the recipe's order, with the CPU behind them.

    A GPU provider whose libraries or device are missing is left out without a word; errors in the model are raised.

    Args:
        providers: some of tensorrt, cuda, cpu, the preferred one first.
        threads: of one operator; 0 takes one for each core.
        options: to set more than that.
    """
    options = options or onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL - 1
    # On CPUs without VNNI the fast 8-bit product overflows 16 bits and answers wrong; this takes the exact one there,
    # and changes nothing elsewhere.
    options.add_session_config_entry("session.x64quantprecision", "1")
    wanted = [name for name in providers if PROVIDERS[name] in onnxruntime.get_available_providers() or name == "cpu"]
    if "cpu" not in wanted:
        wanted.append("cpu")
    with _quiet(gpu=wanted[0] != "cpu"):
        while wanted[0] == "tensorrt":
            try:
                return _session(model, wanted, options)
            except (ValueError, RuntimeError):  # what it raises when TensorRT's libraries are missing
                wanted = wanted[1:]
        return _session(model, wanted, options)


def provider_names(session: onnxruntime.InferenceSession) -> list[str]:
    """What a session got, in the recipes' words, in its order."""
    short = {name: word for word, name in PROVIDERS.items()}
    return [short.get(name, name) for name in session.get_providers()]


def obtainable(providers: Sequence[str]) -> list[str]:
    """Those of the providers that a session on this machine really gets."""
    import onnx  # here, as the process that times a model is to hold nothing it does not need

    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "probe",
        [value("x", onnx.TensorProto.FLOAT, [1])],
        [value("y", onnx.TensorProto.FLOAT, [1])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    probe = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return [name for name in providers if name in provider_names(create_session(probe, [name], threads=1))]


def _session(
    model: Path | bytes, providers: list[str], options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    chosen: list[str | tuple[str, dict[str, Any]]] = [PROVIDERS[name] for name in providers]
    if providers[0] == "tensorrt" and is_quantized(model):
        chosen[0] = (PROVIDERS["tensorrt"], {"trt_int8_enable": True})
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=chosen, enable_fallback=0
    )


def is_quantized(model: Path | bytes) -> bool:
    """Whether it holds QuantizeLinear. TensorRT has to be told, and must not be told of a model that does not."""
    import onnx

    graph = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model, load_external_data=False)
    return any(node.op_type == "QuantizeLinear" for node in graph.graph.node)


@contextlib.contextmanager
def _quiet(gpu: bool) -> Iterator[None]:
    """onnxruntime tells on stderr, below Python, of each GPU library that it cannot load. PyTorch's own copies of them
    are loaded first, so that a machine which trains on its GPU also infers on it."""
    if not gpu:
        yield
        return
    onnxruntime.set_default_logger_severity(FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()
        yield
    finally:
        onnxruntime.set_default_logger_severity(WARNING)
