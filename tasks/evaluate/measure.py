"""Everything that is measured of the chain's models: answers, hand-offs, placement, serving, speed."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.recipe import Recipe
from tasks import evidence, store
from tasks.contracts import ExportedModels, Handoff, Placement, PreparedData, Serving, TrainedModel
from tasks.evaluate import candidates, dense, floor, machine
from tasks.evaluate.latency import Timing, Turn, check_cells, time_models
from tasks.evaluate.parity import hand_over
from tasks.evaluate.placement import place
from tasks.evaluate.spoil import spoil
from tasks.model import sessions
from tasks.model.predict import predict
from tasks.model.subject import Subject, subjects_of
from tasks.model.text import Rows, read_split
from tasks.probe.golden import choose_rows, serving_settings, write_golden
from tasks.probe.probe import probe
from tasks.stage import Workshop

NO_LIMIT = 1e9
Logits = npt.NDArray[np.float32]


class Steps:
    """Counts what is behind the stage, for its progress bar; hand-offs and rounds turn up on the way."""

    def __init__(self, workshop: Workshop, total: int) -> None:
        self._workshop, self._total, self._done = workshop, total, 0

    def expect(self, steps: int) -> None:
        """So many more are still to come."""
        self._total = self._done + steps

    def tell(self, note: str) -> None:
        """What it is waiting for, with nothing done."""
        self._workshop.advanced(self._done, self._total, note)

    def behind(self, note: str) -> None:
        """One more step is done."""
        self._done += 1
        self._workshop.advanced(self._done, self._total, note)


def measure(
    workshop: Workshop, recipe: Recipe, data: PreparedData, teacher: TrainedModel, exported: ExportedModels
) -> dict[str, Any]:
    """The fields of `EvaluationReport` other than its record; the evidence is written into the workshop."""
    settings, providers = recipe.evaluate, [str(provider) for provider in recipe.export.providers]
    baseline, selected = exported.models[0].name, exported.models[-1].name
    subjects = subjects_of(teacher, exported)
    check_cells(subjects, settings.cells)
    expected = (
        len(subjects) + (len(subjects) + 1) * settings.rounds + len(exported.models) + 2 * len(settings.robustness) + 3
    )
    steps = Steps(workshop, expected)
    data_folder = store.open_artifact(data.artifact)
    test, train = read_split(data_folder, "test"), read_split(data_folder, "train")

    def answers(subject: Subject, rows: Rows, batch_size: int = settings.batch_size) -> Logits:
        return predict(
            subject,
            rows,
            max_length=recipe.model.max_length,
            batch_size=batch_size,
            providers=providers,
            threads=settings.threads,
        )

    logits: dict[str, Logits] = {}
    for subject in subjects:
        logits[subject.name] = answers(subject, test)
        steps.behind(f"{subject.name} on the test split")
    by_name = {subject.name: subject for subject in subjects}
    otherwise = {f"{selected}+{evidence.ALONE}": answers(by_name[selected], test, batch_size=1)}
    steps.behind(f"{selected}, one text at a time")
    for how in settings.robustness:
        rows = spoil(test, how, recipe.seed)
        for name in dict.fromkeys((selected, baseline)):
            otherwise[f"{name}+{how}"] = answers(by_name[name], rows)
            steps.behind(f"{name} on {how}")
    tfidf = floor.fit(floor.one_text(train), train.labels, len(data.labels))
    logits["floor"] = tfidf.logits(floor.one_text(test))
    steps.behind("floor on the test split")
    handoffs = hand_over(
        exported,
        test,
        data.labels,
        answers=logits,
        max_length=recipe.model.max_length,
        batch_size=settings.batch_size,
        providers=providers,
        threads=settings.threads,
        on_step=steps.behind,
    )
    placements = {s.name: place(s, providers, settings.threads) for s in subjects if s.runtime == "onnxruntime"}
    folder = workshop.folder / "evidence"
    serving = _serve(recipe, data, by_name[selected], test, logits[selected], folder)
    steps.behind("golden requests in a process of their own")
    quiet = machine.QuietRounds(recipe.gate.max_background_load, settings.quiet_seconds, steps.tell)
    timings, ran_dense = _time(recipe, subjects, by_name[baseline], selected, workshop.scratch, steps, quiet)
    timings["floor"] = [tfidf.time(settings, recipe.seed)]
    plain = {name: [asdict(timing) for timing in rounds] for name, rounds in timings.items()}
    evidence.save(folder, test.labels, {**logits, **otherwise}, plain)
    described = candidates.describe_all(
        subjects,
        tfidf,
        labels=test.labels,
        logits=logits,
        timings=timings,
        baseline=baseline,
        dense=ran_dense,
        placements=placements,
        settings=settings,
    )
    _save_forms(folder, handoffs, serving, placements)
    return {
        "artifact": workshop.artifact("evidence", [data.artifact.digest, *(s.digest for s in subjects)]),
        "candidates": described,
        "selected": selected,
        "baseline": baseline,
        "reference": baseline,
        "machine": {
            **machine.hardware(),
            "versions": machine.versions(),
            "background_load": quiet.load(),
            "waited_for_quiet_seconds": round(quiet.waited, 1),
        },
        "handoffs": handoffs,
        "serving": serving,
    }


def _time(
    recipe: Recipe,
    subjects: Sequence[Subject],
    teacher: Subject,
    selected: str,
    room: Path,
    steps: Steps,
    quiet: machine.QuietRounds,
) -> tuple[dict[str, list[Timing]], list[str]]:
    """Every model's rounds, the dense teacher's as its best configuration ran each cell, and which one that was.

    The selected model and the teacher decide, so they are timed in full; the others for a while."""
    settings, seed = recipe.evaluate, recipe.seed
    providers = [str(provider) for provider in recipe.export.providers]
    each_round = math.ceil(settings.samples / settings.rounds)
    provider = sessions.obtainable([*providers, "cpu"])[0]
    found = dense.configurations(teacher, provider, settings.threads, room / "fp16")
    turns = dense.turns(teacher.name, found, settings.cells, each_round, NO_LIMIT)
    turns += [
        Turn(
            subject.name,
            subject,
            settings.threads,
            tuple(settings.cells),
            each_round,
            NO_LIMIT if subject.name == selected else settings.cell_seconds,
        )
        for subject in subjects
        if subject.name != teacher.name
    ]
    steps.expect(len(turns) * settings.rounds)
    timings = time_models(turns, settings.rounds, providers, seed, steps.behind, quiet.round)
    timings[teacher.name], best = dense.merged(teacher.name, found, timings)
    known = {subject.name for subject in subjects}
    return {name: rounds for name, rounds in timings.items() if name in known}, best


def _serve(
    recipe: Recipe, data: PreparedData, selected: Subject, test: Rows, answered: Logits, folder: Path
) -> Serving | None:
    """Golden requests, and what a process with nothing of Hone's code makes of them; None of a model that answers what
    is no number."""
    if not np.isfinite(answered).all():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    golden = folder / evidence.GOLDEN
    settings = serving_settings(recipe, selected.folder, data.has_pairs)
    write_golden(golden, selected.folder, choose_rows(test, recipe.evaluate.golden_requests), settings)
    return probe(selected.folder, golden)


def _save_forms(
    folder: Path, handoffs: Sequence[Handoff], serving: Serving | None, placements: Mapping[str, Placement]
) -> None:
    """Beside the rest of the evidence, so that its digest covers all that the gate decides on."""
    plain: Mapping[str, Any] = {
        "handoffs": [handoff.model_dump(mode="json") for handoff in handoffs],
        "serving": serving.model_dump(mode="json") if serving else None,
        "placements": {name: placement.model_dump(mode="json") for name, placement in placements.items()},
    }
    (folder / "forms.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")
