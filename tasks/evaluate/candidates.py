"""Puts what was measured of each model together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from hone.configs.delivery import EvaluateSettings
from hone.tasks.contracts import Candidate, Latency, Placement
from hone.tasks.evaluate import latency
from hone.tasks.evaluate.contenders import Timed
from hone.tasks.model.runtime.model_under_test import ModelUnderTest
from hone.tasks.objectives.judging import Answers, Baseline, Judging, Targets


@dataclass(frozen=True)
class Speed:
    """One model's, by cell."""

    latency: list[Latency]
    """Each cell in the configuration that suits it."""
    one_thread: list[Latency]


def describe_all(
    subjects: Sequence[ModelUnderTest],
    fitted: Baseline,
    *,
    judging: Judging,
    targets: Targets,
    answers: Mapping[str, Answers],
    timed: Mapping[str, Timed],
    tokenizing: Mapping[str, Sequence[float]],
    baseline: str,
    placements: Mapping[str, Placement],
    settings: EvaluateSettings,
) -> list[Candidate]:
    """Candidates in the order of the subjects, `floor` last.

    Args:
        fitted: what a model has to beat.
        targets: [rows], what would have been right.
        answers: [rows, ...] by name.
        timed: their rounds, by name.
        tokenizing: milliseconds that a model's tokenizer takes, by name and cell; of the baseline none.
        baseline: name of the candidate that speed-ups are over.
        placements: of the sessions, by name.
    """
    speeds = {
        name: Speed(
            latency.latencies(model.rounds, settings.cells, model.best, tokenizing.get(name, ())),
            latency.latencies(model.one_thread, settings.cells) if model.one_thread else [],
        )
        for name, model in timed.items()
    }
    known = [
        {
            "name": subject.name,
            "stage": subject.stage,
            "runtime": subject.runtime,
            "precision": subject.precision,
            "digest": subject.digest,
            "size_bytes": subject.size_bytes,
            "parameters": subject.parameters,
        }
        for subject in subjects
    ]
    known.append(
        {
            "name": "floor",
            "stage": "evaluate",
            "runtime": judging.baseline_runtime,
            "precision": "fp32",
            "size_bytes": fitted.size_bytes,
            "parameters": fitted.parameters,
        }
    )
    result = []
    for fields in known:
        name = str(fields["name"])
        score = judging.score(answers[name], targets, settings)
        result.append(
            Candidate.model_validate(
                {
                    **fields,
                    **_speed(timed[name], speeds[name], speeds[baseline], from_text=name == "floor"),
                    "metrics": score.metrics,
                    "confusion": score.confusion,
                    "parts": score.parts,
                    "placement": placements.get(name),
                }
            )
        )
    return result


def _speed(timed: Timed, measured: Speed, baseline: Speed, *, from_text: bool) -> dict[str, object]:
    """Args:
    from_text: compares from the text on, as what has no tokenizer is timed from there.
    """
    per_core = (
        latency.speedup(measured.one_thread, baseline.one_thread)
        if measured.one_thread and baseline.one_thread
        else 0.0
    )
    return {
        "provider": timed.rounds[0].providers[0],
        "latency": measured.latency,
        "one_thread": measured.one_thread,
        "configurations": timed.table,
        "timing_note": timed.note,
        "throughput": round(latency.throughput(measured.latency), 2),
        "speedup": round(latency.speedup(measured.latency, baseline.latency, from_text=from_text), 4),
        "speedup_per_core": round(per_core, 4),
        "load_seconds": round(median(timing.load_seconds for timing in timed.rounds), 4),
        "peak_memory_bytes": max(timing.peak_memory_bytes for timing in timed.rounds),
    }
