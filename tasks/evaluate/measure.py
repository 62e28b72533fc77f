"""Everything that is measured of the chain's models: answers, hand-offs, placement, serving, speed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hone.configs.recipe import Recipe
from hone.tasks import evidence, store
from hone.tasks.contracts import (
    ConversionCheck,
    ExportedModels,
    Placement,
    PreparedData,
    Serving,
    SessionSettings,
    TrainedModel,
)
from hone.tasks.evaluate import candidates, from_text, machine
from hone.tasks.evaluate.contenders import Timed, best_threads
from hone.tasks.evaluate.latency import check_cells
from hone.tasks.evaluate.parity import check_conversions
from hone.tasks.evaluate.perturb import perturb
from hone.tasks.evaluate.placement import place
from hone.tasks.evaluate.public import public_rows
from hone.tasks.evaluate.steps import Steps
from hone.tasks.evaluate.timing import time_all
from hone.tasks.model.runtime.delivered import deliver, open_generator
from hone.tasks.model.runtime.model_under_test import ModelUnderTest, subjects_of
from hone.tasks.model.runtime.predict import Readings, answer
from hone.tasks.model.runtime.runtime import read_text_settings, read_threshold
from hone.tasks.model.text import Rows, read_split
from hone.tasks.objectives.judging import Answers, Judging, judging
from hone.tasks.objectives.ragged import numbers
from hone.tasks.probe.golden import choose_rows, write_continuations, write_golden
from hone.tasks.probe.probe import probe
from hone.tasks.stage import StageWorkspace

MEMORY_ARENA = True
"""ONNX Runtime's own choice. Without it every call asks the system for its memory anew, which costs time that grows
with the shape; with it a server holds what its largest call has needed."""


def measure(
    workspace: StageWorkspace, recipe: Recipe, data: PreparedData, teacher: TrainedModel, exported: ExportedModels
) -> dict[str, Any]:
    """The fields of `EvaluationReport` other than its record; the evidence is written into the workspace."""
    settings, providers = recipe.evaluate, [str(provider) for provider in recipe.export.providers]
    baseline, selected = exported.models[0].name, exported.models[-1].name
    subjects = subjects_of(teacher, exported)
    check_cells(subjects, settings.cells)
    expected = (
        len(subjects) + (len(subjects) + 1) * settings.rounds + len(exported.models) + 2 * len(settings.robustness) + 3
    )
    steps = Steps(workspace, expected)
    data_folder = store.open_artifact(data.artifact)
    objective = judging(recipe.objective)
    test, train = read_split(data_folder, "test"), read_split(data_folder, "train")

    readings = Readings(test, recipe.model.max_length)

    def answers(subject: ModelUnderTest, asked: Readings = readings, batch_size: int = settings.batch_size) -> Answers:
        return answer(
            subject.folder,
            subject.runtime,
            asked.of(subject.folder),
            batch_size=batch_size,
            providers=providers,
            threads=settings.threads,
        )

    logits: dict[str, Answers] = {}
    for subject in subjects:
        logits[subject.name] = answers(subject)
        steps.advance(f"{subject.name} on the test split")
    by_name = {subject.name: subject for subject in subjects}
    alone = answers(by_name[selected], batch_size=1)
    otherwise = {f"{selected}+{evidence.ALONE}": alone}
    steps.advance(f"{selected}, one text at a time")
    for how in settings.robustness:
        perturbed = Readings(perturb(test, how, recipe.seed), recipe.model.max_length)
        for name in dict.fromkeys((selected, baseline)):
            otherwise[f"{name}+{how}"] = answers(by_name[name], perturbed)
            steps.advance(f"{name} on {how}")
    targets = objective.with_reference(objective.targets(test), logits[baseline])
    baseline_model = objective.baseline(train, data.labels)
    logits["floor"] = baseline_model.answers(test)
    steps.advance("the baseline on the test split")
    handoffs = check_conversions(
        exported,
        test,
        data.labels,
        objective,
        answers=logits,
        max_length=recipe.model.max_length,
        batch_size=settings.batch_size,
        providers=providers,
        threads=settings.threads,
        on_step=steps.advance,
        show_tokens=recipe.report.texts == "shown",
        readings=readings,
    )
    placements = {s.name: place(s, providers, settings.threads) for s in subjects if s.runtime == "onnxruntime"}
    folder = workspace.folder / "evidence"
    quiet = machine.QuietRounds(recipe.gate.max_background_load, settings.quiet_seconds, steps.tell)
    timed = time_all(
        recipe,
        subjects,
        baseline=baseline,
        selected=selected,
        room=workspace.scratch,
        steps=steps,
        quiet=quiet,
    )
    texts = from_text.Texts(baseline_model.words, settings, recipe.seed)
    timed["floor"] = Timed([from_text.time_baseline(baseline_model, texts.cells, settings)], best=[])
    tokenizing = {subject.name: texts.tokenizing_ms(subject.folder) for subject in subjects}
    evidence.save(folder, targets, {**logits, **otherwise}, _plain(timed))
    described = candidates.describe_all(
        subjects,
        baseline_model,
        judging=objective,
        targets=targets,
        answers=logits,
        timed=timed,
        tokenizing=tokenizing,
        baseline=baseline,
        placements=placements,
        settings=settings,
    )
    session = SessionSettings(
        providers=providers, threads=best_threads(timed[selected].table), memory_arena=MEMORY_ARENA
    )
    delivered = deliver(by_name[selected].folder, workspace.scratch / "delivered", session)
    golden = folder / evidence.GOLDEN
    if recipe.report.texts == "shown":
        indices = _golden_places(delivered, readings, settings.golden_requests)
        serving = _serve(delivered, test.pick(indices), alone[indices], data.labels, golden)
    else:
        public = public_rows(
            settings.golden_requests,
            data.has_pairs,
            recipe.model.max_length,
            recipe.seed,
            words=test.tokens is not None,
            questions=test.spans is not None,
        )
        asked = Readings(public, recipe.model.max_length)
        serving = _serve(delivered, public, answers(by_name[selected], asked, batch_size=1), data.labels, golden)
    steps.advance("golden requests in a process of their own")
    _save_forms(folder, handoffs, serving, placements)
    return {
        "artifact": workspace.artifact("evidence", [data.artifact.digest, *(s.digest for s in subjects)]),
        "candidates": described,
        "selected": selected,
        "baseline": baseline,
        "reference": baseline,
        "metrics": _plain_metrics(objective),
        "machine": {
            **machine.hardware(),
            "versions": machine.versions(),
            "background_load": quiet.load(),
            "waited_for_quiet_seconds": round(quiet.waited, 1),
        },
        "handoffs": handoffs,
        "session": session,
        "serving": serving,
    }


def _plain(timed: Mapping[str, Timed]) -> dict[str, list[dict[str, Any]]]:
    """As the evidence keeps it."""
    found = {name: model.rounds for name, model in timed.items()}
    found |= {f"{name}+{evidence.ONE_THREAD}": model.one_thread for name, model in timed.items() if model.one_thread}
    return {name: [asdict(timing) for timing in rounds] for name, rounds in found.items()}


def _plain_metrics(objective: Judging) -> list[dict[str, str]]:
    """What the report tells of each metric, the primary one first."""
    named = sorted(objective.metrics.values(), key=lambda metric: metric.name != objective.primary)
    return [{"name": one.name, "title": one.title, "better": one.better, "unit": one.unit} for one in named]


def _golden_places(delivered: Path, readings: Readings, count: int) -> list[int]:
    """Rows of the test split that become golden requests."""
    reading, test = readings.of(delivered), readings.rows
    characters = [len(text) for text in test.texts]
    if test.pairs is not None:
        characters = [one + len(pair) for one, pair in zip(characters, test.pairs, strict=True)]
    most = read_text_settings(delivered).max_length
    return choose_rows(reading.row_lengths.tolist(), characters, most, count)


def _serve(delivered: Path, asked: Rows, answered: Answers, labels: Sequence[str], golden: Path) -> Serving | None:
    """Golden requests, and what a process with nothing of Hone's code makes of them; None of a model that answers what
    is no number.

    Args:
        delivered: the selected model's folder, as it leaves.
        asked: the requests.
        answered: what the evaluation got for them, one at a time.
        golden: file to be written.
    """
    if not np.isfinite(numbers(answered)).all():
        return None
    told = read_text_settings(delivered)
    if told.task == "text-generation":
        write_continuations(golden, asked, open_generator(delivered), labels)
    else:
        write_golden(golden, asked, answered, labels, told.task, read_threshold(delivered))
    return probe(delivered, golden)


def _save_forms(
    folder: Path, handoffs: Sequence[ConversionCheck], serving: Serving | None, placements: Mapping[str, Placement]
) -> None:
    """Beside the rest of the evidence, so that its digest covers all that the gate decides on."""
    plain: Mapping[str, Any] = {
        "handoffs": [handoff.model_dump(mode="json") for handoff in handoffs],
        "serving": serving.model_dump(mode="json") if serving else None,
        "placements": {name: placement.model_dump(mode="json") for name, placement in placements.items()},
    }
    (folder / "forms.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")
