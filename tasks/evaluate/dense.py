"""What a person would run instead: the teacher, not compressed, in the configuration that suits it best.

A speed-up over a badly configured teacher is no speed-up. So the teacher is tried in each precision that the provider
computes in and with each number of threads, and for every shape the best of them is what a model has to beat.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from tasks.cores import usable_cores
from tasks.evaluate.latency import Timing, Turn
from tasks.model.subject import Subject


@dataclass(frozen=True)
class Configuration:
    """One way to run the teacher."""

    subject: Subject
    threads: int

    @property
    def name(self) -> str:
        """`fp32, 2 threads`."""
        return f"{self.subject.precision}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def configurations(teacher: Subject, provider: str, threads: int, folder: Path) -> list[Configuration]:
    """Every configuration worth trying on the provider that sessions get here.

    On the CPU, fp32 (onnxruntime computes fp16 there by way of fp32) on one core and on all that it may use; on a GPU,
    fp32 and fp16.

    Args:
        threads: of the recipe; 0 stands for one for each core.
        folder: for the models that are made here.
    """
    most = threads or usable_cores()
    if provider == "cpu":
        return [Configuration(teacher, count) for count in sorted({1, most})]
    return [Configuration(teacher, most), Configuration(_halved(teacher, folder), most)]


def turns(name: str, found: Sequence[Configuration], cells: Sequence[str], samples: int, seconds: float) -> list[Turn]:
    """What is to be timed: every configuration at every cell, in every round. A short trial beforehand would do with
    less, and on a machine that is busy for a moment it would choose the wrong one to be compared with."""
    return [Turn(f"{name}: {one.name}", one.subject, one.threads, tuple(cells), samples, seconds) for one in found]


def merged(
    name: str, found: Sequence[Configuration], timings: Mapping[str, Sequence[Timing]]
) -> tuple[list[Timing], list[str]]:
    """The rounds of the teacher as one model, every cell as the configuration ran it whose median over all rounds is
    the lowest, and the names of those configurations by cell."""
    rounds = {one.name: timings[f"{name}: {one.name}"] for one in found}
    first = next(iter(rounds.values()))
    cells = range(len(first[0].milliseconds))

    def pooled(configuration: str, cell: int) -> float:
        return median(call for timing in rounds[configuration] for call in timing.milliseconds[cell])

    best = [min(rounds, key=lambda one: pooled(one, cell)) for cell in cells]
    merged_rounds = [
        replace(
            first[number],
            load_seconds=max(rounds[one][number].load_seconds for one in best),
            peak_memory_bytes=max(rounds[one][number].peak_memory_bytes for one in best),
            milliseconds=[rounds[best[cell]][number].milliseconds[cell] for cell in cells],
        )
        for number in range(len(first))
    ]
    return merged_rounds, best


def _halved(teacher: Subject, folder: Path) -> Subject:
    """The teacher in fp16, with fp32 inputs and outputs; what overflows in fp16 stays in fp32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    shutil.copytree(teacher.folder, folder, ignore=shutil.ignore_patterns("model.onnx"))
    graph = convert_float_to_float16(onnx.load(teacher.folder / "model.onnx"), keep_io_types=True)
    onnx.save(graph, folder / "model.onnx")
    return replace(
        teacher, precision="fp16", folder=folder, size_bytes=(folder / "model.onnx").stat().st_size, digest=""
    )
