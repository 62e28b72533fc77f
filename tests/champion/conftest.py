"""The tiny exported classifier of the evaluation's tests."""

from tests.evaluate.conftest import prepared_folder, tiny_folder, tiny_onnx_folder

__all__ = ["prepared_folder", "tiny_folder", "tiny_onnx_folder"]
