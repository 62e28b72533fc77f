"""The ways in which a model can be run: how many threads, which precision.

A speed-up over a badly configured teacher is no speed-up, and neither is one of a model whose threads spend their time
waiting for each other. So both are tried in what their provider offers, and for every shape the best of it counts.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hone.tasks.model.runtime.model_under_test import ModelUnderTest


@dataclass(frozen=True)
class Configuration:
    """One way to run a model."""

    subject: ModelUnderTest
    threads: int

    @property
    def name(self) -> str:
        """`fp32, 2 threads`."""
        return configuration_name(self.subject.precision, self.threads)


def configuration_name(how: str, threads: int) -> str:
    """`fp32, 2 threads`."""
    return f"{how}, {threads} thread{'s' if threads > 1 else ''}"


def thread_counts(most: int) -> list[int]:
    """1, the powers of two below `most`, and `most`: a small model can be slower on many cores than on a few."""
    return sorted({1, most, *(2**power for power in range(1, most.bit_length()) if 2**power < most)})


def configurations(
    subject: ModelUnderTest, provider: str, most: int, halved: Path | None = None
) -> list[Configuration]:
    """Every configuration of an exported model that is worth trying on the provider that sessions get here; on a GPU
    the processor's threads matter little, and only one and all are tried.

    Args:
        most: threads.
        halved: for the dense teacher, which on a GPU is tried in fp16 too, the folder for that model. On the CPU
            onnxruntime computes fp16 by way of fp32.
    """
    if provider == "cpu":
        return [Configuration(subject, count) for count in thread_counts(most)]
    forms = [subject, *([_halved(subject, halved)] if halved else [])]
    return [Configuration(form, count) for form in forms for count in sorted({1, most})]


def _halved(teacher: ModelUnderTest, folder: Path) -> ModelUnderTest:
    """The teacher in fp16, with fp32 inputs and outputs; what overflows in fp16 stays in fp32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    shutil.copytree(teacher.folder, folder, ignore=shutil.ignore_patterns("model.onnx"))
    graph = convert_float_to_float16(onnx.load(teacher.folder / "model.onnx"), keep_io_types=True)
    onnx.save(graph, folder / "model.onnx")
    return replace(
        teacher, precision="fp16", folder=folder, size_bytes=(folder / "model.onnx").stat().st_size, digest=""
    )
