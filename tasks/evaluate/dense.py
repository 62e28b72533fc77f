"""What a person would run instead: the teacher, not compressed, in the configuration that suits it best.

A speed-up over a badly configured teacher is no speed-up. So the teacher is tried in each precision that the provider
computes in and with each number of threads, and for every shape the best of them is what a model has to beat.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from configs.delivery import EvaluateSettings
from tasks.evaluate import machine
from tasks.evaluate.latency import Timing, Turn, time_models
from tasks.model.subject import Subject

TRIAL_SAMPLES = 7
TRIAL_SECONDS = 1.5


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
    most = threads or machine.cores()
    if provider == "cpu":
        return [Configuration(teacher, count) for count in sorted({1, most})]
    return [Configuration(teacher, most), Configuration(_halved(teacher, folder), most)]


def choose(
    found: Sequence[Configuration],
    settings: EvaluateSettings,
    providers: Sequence[str],
    seed: int,
    on_measured: Callable[[str], None],
) -> dict[str, Configuration]:
    """The best configuration for each cell, by a short trial of each in a process of its own."""
    if len(found) == 1:
        return dict.fromkeys(settings.cells, found[0])
    turns = [
        Turn(one.name, one.subject, one.threads, tuple(settings.cells), TRIAL_SAMPLES, TRIAL_SECONDS) for one in found
    ]
    tried = time_models(turns, 1, providers, seed, on_measured)
    medians = {one: [median(cell) for cell in tried[one.name][0].milliseconds] for one in found}
    return {cell: min(found, key=lambda one: medians[one][place]) for place, cell in enumerate(settings.cells)}


def turns(name: str, chosen: Mapping[str, Configuration], samples: int, seconds: float) -> list[Turn]:
    """What is to be timed: each configuration that is best somewhere, at the cells where it is."""
    return [
        Turn(
            f"{name}: {one.name}",
            one.subject,
            one.threads,
            tuple(cell for cell, best in chosen.items() if best == one),
            samples,
            seconds,
        )
        for one in dict.fromkeys(chosen.values())
    ]


def merged(name: str, chosen: Mapping[str, Configuration], timings: Mapping[str, Sequence[Timing]]) -> list[Timing]:
    """The rounds of the teacher as one model: every cell as its best configuration ran it."""
    by_name = {one.name: timings[f"{name}: {one.name}"] for one in dict.fromkeys(chosen.values())}
    own_cells = {one: [cell for cell, best in chosen.items() if best.name == one] for one in by_name}
    rounds = []
    for number in range(len(next(iter(by_name.values())))):
        here = {one: several[number] for one, several in by_name.items()}
        first = next(iter(here.values()))
        rounds.append(
            replace(
                first,
                load_seconds=max(timing.load_seconds for timing in here.values()),
                peak_memory_bytes=max(timing.peak_memory_bytes for timing in here.values()),
                milliseconds=[
                    here[best.name].milliseconds[own_cells[best.name].index(cell)] for cell, best in chosen.items()
                ],
            )
        )
    return rounds


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
