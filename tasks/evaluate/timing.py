"""Times every model of the chain: those that decide in full, the others for a while, on a machine as quiet as it gets.

Every figure comes from a process that times one configuration of one model, and the processes take turns. PyTorch's
variants share one, as they share PyTorch's own threads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from hone.configs.delivery import EvaluateSettings
from hone.configs.recipe import Recipe
from hone.tasks.cores import usable_cores
from hone.tasks.device import computes_bf16, driver_device
from hone.tasks.evaluate import configurations
from hone.tasks.evaluate.configurations import Configuration, configuration_name
from hone.tasks.evaluate.contenders import Medians, Rounds, Timed, go_on
from hone.tasks.evaluate.latency import BenchmarkCase, Timing, time_models
from hone.tasks.evaluate.machine import QuietRounds
from hone.tasks.evaluate.steps import Steps
from hone.tasks.evaluate.timing_worker import COMPILED
from hone.tasks.model.runtime import sessions
from hone.tasks.model.runtime.model_under_test import ModelUnderTest

NO_LIMIT = 1e9
TRIAL_SAMPLES, TRIAL_SECONDS = 10, 0.3
"""Of each cell and configuration in the trial; its figures choose what is timed and count for nothing else."""
TORCH_PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Contender:
    """An exported model with the ways in which it may run."""

    name: str
    ways: dict[str, Configuration]
    baseline: bool
    decides: bool

    def trial(self, settings: EvaluateSettings) -> list[BenchmarkCase]:
        """All ways at every cell, once and shortly; nothing where there are two at most, as all of them go on."""
        cells = dict.fromkeys(self.ways, settings.cells) if len(self.ways) > 2 else {}
        return self._turns(cells, TRIAL_SAMPLES, TRIAL_SECONDS)

    def turns(self, settings: EvaluateSettings, kept: dict[str, list[str]]) -> list[BenchmarkCase]:
        """What is timed in each round.

        Args:
            kept: cells by configuration.
        """
        seconds = NO_LIMIT if self.decides else settings.cell_seconds / len(kept)
        return self._turns(kept, math.ceil(settings.samples / settings.rounds), seconds)

    def _turns(self, cells: dict[str, list[str]], samples: int, seconds: float) -> list[BenchmarkCase]:
        return [
            BenchmarkCase(
                f"{self.name}: {name}", self.ways[name].subject, self.ways[name].threads, tuple(found), samples, seconds
            )
            for name, found in cells.items()
        ]

    def medians(self, trial: dict[str, list[Timing]], cells: Sequence[str]) -> Medians:
        """What the trial saw of this model; empty where there was none."""
        return {
            name: dict(zip(cells, map(median, trial[f"{self.name}: {name}"][0].milliseconds), strict=True))
            for name in self.ways
            if f"{self.name}: {name}" in trial
        }

    def settle(
        self, timings: dict[str, list[Timing]], kept: dict[str, list[str]], seen: Medians, cells: Sequence[str]
    ) -> Timed:
        """What the full rounds saw."""
        rounds = Rounds(cells, {name: way.threads for name, way in self.ways.items()})
        for name, timed_at in kept.items():
            found = timings[f"{self.name}: {name}"]
            by_cell = {cell: [one.milliseconds[index] for one in found] for index, cell in enumerate(timed_at)}
            rounds.add(name, by_cell, found)
        return rounds.settle(baseline=self.baseline, trial=seen)


def time_all(
    recipe: Recipe,
    subjects: Sequence[ModelUnderTest],
    *,
    baseline: str,
    selected: str,
    room: Path,
    steps: Steps,
    quiet: QuietRounds,
) -> dict[str, Timed]:
    """Every model's rounds, by name, each cell in the configuration that suits the model there.

    Args:
        baseline, selected: names of the models that decide; they get evaluate.samples calls of each cell, the others
            what fits into evaluate.cell_seconds.
        room: for models and compiled code that are made here.
    """
    settings, providers = recipe.evaluate, [str(provider) for provider in recipe.export.providers]
    provider, most = sessions.available_providers([*providers, "cpu"])[0], settings.threads or usable_cores()
    contenders = []
    for subject in subjects:
        if subject.runtime == "onnxruntime":
            dense = room / "fp16" if subject.name == baseline else None
            ways = {one.name: one for one in configurations.configurations(subject, provider, most, dense)}
            contenders.append(
                Contender(subject.name, ways, subject.name == baseline, subject.name in (baseline, selected))
            )
    in_pytorch = [
        _torch_trial(subject, settings, most, room / "compiled") for subject in subjects if subject.runtime == "pytorch"
    ]
    many = in_pytorch if settings.torch_compile_seconds else []  # else two precisions, which both go on
    tried = [*(turn for one in contenders for turn in one.trial(settings)), *many]
    steps.set_remaining(len(tried) + 1)  # and whatever rounds the trial leaves
    trial = time_models(tried, 1, providers, recipe.seed, steps.advance, quiet.round) if tried else {}
    seen = {one.name: one.medians(trial, settings.cells) for one in contenders}
    kept = {
        one.name: go_on({name: way.threads for name, way in one.ways.items()}, seen[one.name], settings.cells)
        for one in contenders
    }
    turns = [turn for one in contenders for turn in one.turns(settings, kept[one.name])]
    torch_trials = {turn.name: trial[turn.name][0] for turn in many}
    turns += [_torch_turn(turn, torch_trials.get(turn.name), settings) for turn in in_pytorch]
    steps.set_remaining(len(turns) * settings.rounds + 1)  # and the golden requests
    timings = time_models(turns, settings.rounds, providers, recipe.seed, steps.advance, quiet.round)
    return {
        **{turn.name: _settle_pytorch(turn, torch_trials.get(turn.name), timings[turn.name]) for turn in in_pytorch},
        **{one.name: one.settle(timings, kept[one.name], seen[one.name], settings.cells) for one in contenders},
    }


def _torch_trial(subject: ModelUnderTest, settings: EvaluateSettings, threads: int, folder: Path) -> BenchmarkCase:
    """Both precisions, unless the hardware would only imitate bf16, and the better of them compiled where the recipe
    gives time for it."""
    return BenchmarkCase(
        name=subject.name,
        subject=subject,
        threads=threads,
        cells=tuple(settings.cells),
        samples=TRIAL_SAMPLES,
        seconds=TRIAL_SECONDS,
        variants=tuple(name for name in TORCH_PRECISIONS if name == "fp32" or computes_bf16(driver_device())),
        compile_seconds=settings.torch_compile_seconds,
        compiled_folder=str(folder),
    )


def _torch_turn(tried: BenchmarkCase, trial: Timing | None, settings: EvaluateSettings) -> BenchmarkCase:
    """The variants that were fastest at some cell of the trial; without one, both precisions."""
    full = replace(tried, samples=math.ceil(settings.samples / settings.rounds), seconds=settings.cell_seconds)
    if trial is None:
        return full
    indices = range(len(tried.cells))
    timed_at = [[name for name, calls in trial.variants.items() if calls[index]] for index in indices]
    best = {min(names, key=lambda name: median(trial.variants[name][index])) for index, names in enumerate(timed_at)}
    return replace(
        full,
        variants=tuple(name for name in trial.variants if name in best),
        compile_seconds=tried.compile_seconds if any(name.endswith(COMPILED) for name in best) else 0.0,
    )


def _settle_pytorch(tried: BenchmarkCase, trial: Timing | None, timings: Sequence[Timing]) -> Timed:
    """What the full rounds saw of PyTorch's variants, each cell in the one that was fastest over the other rounds."""
    tried_first = trial or timings[0]
    names = {name: configuration_name(name, tried.threads) for name in tried_first.variants}
    rounds = Rounds(tried.cells, dict.fromkeys(names.values(), tried.threads))
    for variant, name in names.items():
        if all(variant in timing.variants for timing in timings):
            found = [timing.variants[variant] for timing in timings]
            by_cell = {
                cell: [one[index] for one in found]
                for index, cell in enumerate(tried.cells)
                if all(one[index] for one in found)
            }
            rounds.add(name, by_cell, timings)
    seen = {
        name: {
            cell: median(tried_first.variants[variant][index])
            for index, cell in enumerate(tried.cells)
            if tried_first.variants[variant][index]
        }
        for variant, name in names.items()
    }
    return rounds.settle(baseline=False, trial=seen, note=tried_first.note)
