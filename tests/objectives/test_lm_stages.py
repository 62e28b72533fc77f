"""Documents through every stage from the data to the verdict: nothing but the data, the decoder and the task differ."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from hone.flows.preflight import check_data, check_model
from hone.tasks import cluster, evidence, lineage, store
from hone.tasks.contracts import ChampionAnswers, EvaluationReport, ExportedModels, Verdict
from hone.tasks.evaluate.task import evaluate_models
from hone.tasks.export.task import export_models
from hone.tasks.gate.champion import champion_checks
from hone.tasks.gate.decision import decide as decided
from hone.tasks.gate.quality import quality_checks
from hone.tasks.gate.task import decide
from hone.tasks.model.runtime.delivered import default_session, deliver
from hone.tasks.model.runtime.predict import answer, read
from hone.tasks.model.text import read_split
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.text_generation.generating import NLL
from hone.tasks.stage import skip_stage
from tests.champion.asking import ask
from tests.objectives.documents import LENGTH, recipe_of
from tests.objectives.stages import Made, through_the_stages

pytestmark = pytest.mark.usefixtures("works_here")
JUDGING = judging("text-generation")


@dataclass
class Judged(Made):
    models: ExportedModels
    report: EvaluationReport
    verdict: Verdict

    def folder(self, name: str) -> Path:
        return store.open_artifact(next(one for one in self.models.models if one.name == name).artifact)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, works_here: None) -> Judged:
    folder = tmp_path_factory.mktemp("lm")
    made = through_the_stages(recipe_of(folder), folder)
    models = export_models.fn(made.context, *made.stages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "shutdown", lambda: None)
        report = evaluate_models.fn(made.context, made.data, made.teacher, models)
    nobody = ChampionAnswers(record=skip_stage("champion", "none is registered", ""))
    return Judged(
        **vars(made), models=models, report=report, verdict=decide.fn(made.context, made.data, report, nobody)
    )


def test_every_stage_learns_to_write(made: Judged) -> None:
    perplexities = made.scores("perplexity")
    assert max(perplexities) < 5, perplexities  # measured: 2.6, 3.8, 3.7, 3.5, of 307 tokens
    assert [stage.checkpoint.selected_by for stage in made.stages] == ["log_likelihood"] * 4
    assert made.teacher.checkpoint.warnings == []
    assert made.teacher.checkpoint.score == pytest.approx(-np.log(perplexities[0]))


def test_the_data_stage_tells_what_of_the_test_stands_in_training(made: Judged) -> None:
    assert made.data.shared_text is not None
    assert 0 < made.data.shared_text.seen_runs < made.data.shared_text.runs
    assert "documents; left out: nothing; " in made.data.headline()
    assert made.data.shared_text.told in made.data.headline()


def test_checkpoints_are_plain_transformers_decoders(made: Judged) -> None:
    for stage in made.stages:
        folder = store.open_artifact(stage.checkpoint.artifact)
        assert json.loads((folder / "config.json").read_text())["hone_task"] == "text-generation"
        assert type(AutoModelForCausalLM.from_pretrained(folder)).__name__ == "LlamaForCausalLM"


def test_each_model_is_judged_by_the_perplexity_that_transformers_gives_of_its_checkpoint(made: Judged) -> None:
    test = read_split(store.open_artifact(made.data.artifact), "test")
    folder = store.open_artifact(made.teacher.checkpoint.artifact)
    reading = read(folder, test, LENGTH)
    assert reading.documents is not None
    assert len(reading.documents) > len(test)  # some are longer than a window
    found = answer(folder, "pytorch", reading, batch_size=8, providers=["cpu"], threads=1)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    short = [row for row in range(len(test)) if found.lengths[row] < LENGTH]
    assert short
    for row in short:
        ids = torch.tensor([reading.documents.row(int(np.flatnonzero(reading.documents.documents == row)[0]))[0]])
        with torch.no_grad():
            expected = model(input_ids=ids, labels=ids).loss.item()
        assert found[[row]].values[:, NLL].mean() == pytest.approx(expected, rel=1e-4)
    tokens = len(found.values)
    teacher = made.report.candidate("teacher-pytorch").metrics
    assert teacher["perplexity"] == pytest.approx(np.exp(found.values[:, NLL].sum(dtype=np.float64) / tokens), rel=1e-5)
    assert teacher["agreement"] == 1.0
    assert made.report.candidate("teacher").metrics == pytest.approx(teacher, rel=1e-5)


def test_what_the_small_model_lost_is_measured_and_the_baseline_stands_beside_it(made: Judged) -> None:
    assert [metric.name for metric in made.report.metrics] == ["perplexity", "bits_per_byte", "agreement"]
    teacher, small = (made.report.candidate(name) for name in ("teacher", "quantized"))
    assert small.metrics["perplexity"] > teacher.metrics["perplexity"]
    assert 0.5 < small.metrics["agreement"] < 1
    assert small.size_bytes < 0.5 * teacher.size_bytes
    floor = made.report.candidate("floor")
    assert (floor.runtime, set(floor.metrics)) == ("n-grams", {"perplexity", "bits_per_byte"})


def test_every_form_answers_alike_and_a_fresh_process_continues_prompts(made: Judged) -> None:
    assert [(step.model, step.kind, step.mismatch) for step in made.report.handoffs] == [
        ("teacher", "exact", ""),
        ("distilled", "exact", ""),
        ("pruned", "exact", ""),
        ("quantized", "rounded", ""),
        ("quantized", "integer", ""),
    ]
    assert made.report.serving is not None
    assert (made.report.serving.answered, made.report.serving.requests) == (4, 4)
    assert {check.verdict for check in made.verdict.checks if check.name in ("parity", "serves")} == {"ACCEPTED"}


def test_the_gate_holds_it_to_a_part_of_the_teachers_perplexity_and_looks_at_slices(made: Judged) -> None:
    check = next(check for check in made.verdict.checks if check.name == "perplexity_difference")
    teacher, small = (made.report.candidate(name).metrics["perplexity"] for name in ("teacher", "quantized"))
    assert (check.unit, check.verdict) == ("relative", "ACCEPTED")
    assert check.value == pytest.approx((teacher - small) / teacher, rel=1e-5)
    slices = {check.subject for check in made.verdict.slices}
    assert {"text = new", "text = partly in training", "topic = long", "topic = short"} <= slices
    folder = store.open_artifact(made.report.artifact)
    targets = evidence.read_labels(folder)
    pair = [JUDGING.statistics(evidence.read_logits(folder, name), targets) for name in ("quantized", "teacher")]
    strict = made.recipe.gate.model_copy(update={"margin": 0.02})
    (refused,) = decided(
        quality_checks(pair[0], {"teacher": pair[1]}, [JUDGING.metrics["perplexity"]], strict, 0), 0.05
    )
    assert refused.verdict == "REJECTED"


def test_a_champion_is_compared_on_the_teachers_tokens(
    made: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = deliver(made.folder("distilled"), tmp_path / "champion", default_session(made.recipe))
    old = lineage.OldData(data=made.data)
    found = ask(made.recipe, made.data, made.models, champion, tmp_path, old, monkeypatch)
    assert (found.record.status, found.missing) == ("ran", "")
    assert found.artifact is not None
    folder = store.open_artifact(made.report.artifact)
    targets = evidence.read_labels(folder)
    small = JUDGING.statistics(evidence.read_logits(folder, "quantized"), targets)
    checks = decided(champion_checks(made.recipe.gate, found, JUDGING, targets, small, 0), 0.05)
    assert [check.name for check in checks] == ["perplexity_difference"]
    before, now = (made.report.candidate(name).metrics["perplexity"] for name in ("distilled", "quantized"))
    assert checks[0].value == pytest.approx((before - now) / before, rel=1e-4)


def test_what_is_looked_at_before_a_run_goes_the_whole_way_with_one_layer(made: Judged) -> None:
    told, seen = check_data(made.recipe)
    assert told.endswith("30 test documents")
    assert "one layer exported and served" in check_model(made.recipe, seen)
