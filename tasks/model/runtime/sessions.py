"""onnxruntime sessions as the served model makes them, and what a machine has for them.

That a provider is among onnxruntime's available ones says only that it was built in. What a session got, it says itself
(`provider_names`), and `available_providers` makes one to ask.
"""

from collections.abc import Sequence

from hone.tasks.model.runtime.runtime import PROVIDERS, ask, create_session, is_quantized, provider_names

__all__ = ["PROVIDERS", "ask", "available_providers", "create_session", "is_quantized", "provider_names"]


def available_providers(providers: Sequence[str]) -> list[str]:
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
