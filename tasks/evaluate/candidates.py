"""Puts what was measured of each model together."""

from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from configs.delivery import EvaluateSettings
from tasks.contracts import Candidate, Latency, Placement
from tasks.evaluate import latency, metrics
from tasks.evaluate.floor import Floor
from tasks.evaluate.latency import Timing
from tasks.model.subject import Subject


def describe_all(
    subjects: Sequence[Subject],
    floor: Floor,
    *,
    labels: np.ndarray,
    logits: Mapping[str, np.ndarray],
    timings: Mapping[str, Sequence[Timing]],
    baseline: str,
    dense: Sequence[str],
    placements: Mapping[str, Placement],
    settings: EvaluateSettings,
) -> list[Candidate]:
    """Candidates in the order of the subjects, `floor` last.

    Args:
        labels: [rows], the true ones.
        logits: [rows, labels] by name.
        timings: one for each round, by name.
        baseline: name of the candidate that speed-ups are over.
        dense: what ran the baseline, by cell.
        placements: of the sessions, by name.
    """
    reference = latency.latencies(timings[baseline], settings.cells, dense)
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
            "runtime": "sklearn",
            "precision": "fp32",
            "size_bytes": floor.size_bytes,
            "parameters": floor.parameters,
        }
    )
    found = []
    for fields in known:
        name = str(fields["name"])
        quality, confusion = metrics.score(logits[name], labels, settings.calibration_bins)
        measured = reference if name == baseline else latency.latencies(timings[name], settings.cells)
        found.append(
            Candidate.model_validate(
                {
                    **fields,
                    **_speed(timings[name], measured, reference),
                    "metrics": quality,
                    "confusion": confusion,
                    "placement": placements.get(name),
                }
            )
        )
    return found


def _speed(timings: Sequence[Timing], measured: list[Latency], baseline: list[Latency]) -> dict[str, object]:
    return {
        "provider": timings[0].providers[0],
        "latency": measured,
        "throughput": round(latency.throughput(measured), 2),
        "speedup": round(latency.speedup(measured, baseline), 4),
        "load_seconds": round(median(timing.load_seconds for timing in timings), 4),
        "peak_memory_bytes": max(timing.peak_memory_bytes for timing in timings),
    }
