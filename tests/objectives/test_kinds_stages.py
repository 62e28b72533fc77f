"""Texts with several labels, and pairs of texts with a number, through every stage that makes a model: nothing but
data.labels differs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import BertForSequenceClassification

from hone.flows.preflight import check_model
from hone.tasks import evidence, lineage, store
from hone.tasks.contracts import DistilledModel, ExportedModels, TrainedModel
from hone.tasks.data.preview import preview
from hone.tasks.evaluate.parity import check_conversions
from hone.tasks.export.task import export_models
from hone.tasks.gate.champion import champion_checks
from hone.tasks.gate.checks import parity_checks
from hone.tasks.gate.decision import decide
from hone.tasks.gate.quality import quality_checks
from hone.tasks.model.checkpoints.checkpoint import load_model
from hone.tasks.model.runtime.delivered import default_session, deliver
from hone.tasks.model.runtime.predict import answer, read
from hone.tasks.model.runtime.runtime import Classifier, read_threshold
from hone.tasks.model.text import Rows, read_split
from hone.tasks.objectives.judging import compared, judging
from hone.tasks.probe.golden import write_golden
from hone.tasks.probe.probe import probe
from tests.champion.asking import ask
from tests.objectives.kinds import LABELS, LENGTH, recipe_of
from tests.objectives.stages import Made, through_the_stages

pytestmark = pytest.mark.usefixtures("works_here")


@dataclass
class Exported(Made):
    models: ExportedModels

    @property
    def exported(self) -> list[Path]:
        return [store.open_artifact(model.artifact) for model in self.models.models]

    def answers(self, folder: Path, form: Any, rows: Rows) -> Any:
        reading = read(folder, rows, LENGTH)
        return answer(folder, form, reading, batch_size=16, providers=["cpu"], threads=1)

    def test(self) -> Rows:
        return read_split(store.open_artifact(self.data.artifact), "test")


def made_by(folder: Path, kind: str) -> Exported:
    made = through_the_stages(recipe_of(folder, kind), folder)
    # The last two alone, as the exporter takes seconds for each.
    alike = {"record": made.pruned.record, "checkpoint": made.pruned.checkpoint}
    models = TrainedModel(**alike), DistilledModel(**alike), made.pruned, made.rounded
    return Exported(**vars(made), models=export_models.fn(made.context, *models))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, works_here: None) -> Exported:
    return made_by(tmp_path_factory.mktemp("several"), "several")


@pytest.fixture(scope="module")
def number(tmp_path_factory: pytest.TempPathFactory, works_here: None) -> Exported:
    return made_by(tmp_path_factory.mktemp("number"), "number")


def test_every_stage_learns_to_give_the_labels(several: Exported) -> None:
    assert min(several.scores("micro_f1")) > 0.9, several.scores("micro_f1")
    assert [made.checkpoint.selected_by for made in several.stages] == ["micro_f1"] * 4
    assert several.stages[0].checkpoint.warnings == []
    assert several.data.labels == LABELS


def test_every_stage_learns_to_answer_the_number(number: Exported) -> None:
    assert min(number.scores("r2")) > 0.7, number.scores("r2")
    assert number.stages[0].checkpoint.warnings == []
    assert number.data.labels == ["label"]


def test_each_folder_says_in_transformers_words_what_it_answers(several: Exported, number: Exported) -> None:
    for made, problem, outputs in ((several, "multi_label_classification", 3), (number, "regression", 1)):
        folders = [*made.exported, *(store.open_artifact(stage.checkpoint.artifact) for stage in made.stages)]
        for folder in folders:
            told = json.loads((folder / "config.json").read_text())
            assert (told["problem_type"], len(told["id2label"])) == (problem, outputs)
            assert told["hone_task"] == problem.replace("_", "-")
        assert isinstance(load_model(folders[-1]), BertForSequenceClassification)


def test_each_model_has_the_threshold_that_its_validation_chose_wherever_it_goes(several: Exported) -> None:
    chosen = several.scores("threshold")
    checkpoints = [store.open_artifact(stage.checkpoint.artifact) for stage in several.stages]
    folders = [*zip(checkpoints, chosen, strict=True), *zip(several.exported, chosen[-2:], strict=True)]
    for folder, threshold in folders:
        assert json.loads((folder / "config.json").read_text())["threshold"] == threshold


def test_what_was_exported_answers_labels_above_its_threshold_and_the_true_ones_mostly(several: Exported) -> None:
    rows = several.test()
    served = Classifier(several.exported[-1])
    right = 0
    for told, flags in zip(served.answers(rows.texts), rows.labels, strict=True):
        given = {one["label"]: one["score"] for one in told["labels"]}
        assert given == {name: p for name, p in told["probabilities"].items() if p > served.threshold}
        right += given.keys() == {name for name, flag in zip(LABELS, flags, strict=True) if flag}
    assert right > 0.75 * len(rows)


def test_what_was_exported_answers_a_number_near_the_true_one(number: Exported) -> None:
    rows = number.test()
    answers = np.array([answer["number"] for answer in Classifier(number.exported[-1]).answers(rows.texts, rows.pairs)])
    assert rows.labels.dtype == np.float64
    assert np.mean((answers - rows.labels) ** 2) < 0.3 * rows.labels.var()


@pytest.mark.parametrize("kind", ["several", "number"])
def test_every_form_of_the_rounded_model_answers_alike(request: pytest.FixtureRequest, kind: str) -> None:
    made: Exported = request.getfixturevalue(kind)
    last = made.models.model_copy(update={"models": made.models.models[-1:]})
    judges = judging(made.recipe.objective)
    found = check_conversions(
        last,
        made.test(),
        made.data.labels,
        judges,
        answers={},
        max_length=LENGTH,
        batch_size=16,
        providers=["cpu"],
        threads=1,
        on_step=lambda _step: None,
    )
    assert [(step.source, step.target) for step in found] == [
        ("pytorch", "fake-quantised"),
        ("fake-quantised", "onnx (cpu)"),
    ]
    checks = parity_checks(made.recipe.gate, found)
    assert [(check.verdict, check.detail) for check in checks] == [("ACCEPTED", "")] * 2, found


@pytest.mark.parametrize("kind", ["several", "number"])
def test_a_fresh_process_answers_golden_requests_and_another_threshold_or_number_is_noticed(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    made: Exported = request.getfixturevalue(kind)
    rows, folder = made.test().pick(range(10)), made.exported[-1]
    delivered = deliver(folder, tmp_path / "model", default_session(made.recipe))
    alone = answer(folder, "onnxruntime", read(folder, rows, LENGTH), batch_size=1, providers=["cpu"], threads=1)
    task, cut = made.recipe.objective, read_threshold(folder)
    write_golden(tmp_path / "golden.json", rows, alone, made.data.labels, task, cut)
    served = probe(delivered, tmp_path / "golden.json")
    assert (served.error, served.answered, served.requests) == ("", 10, 10)
    config = json.loads((delivered / "config.json").read_text())
    config["threshold"] = 0.999
    (delivered / "config.json").write_text(json.dumps(config))
    if kind == "number":
        write_golden(tmp_path / "golden.json", rows, alone + 0.1, made.data.labels, task, cut)
    served = probe(delivered, tmp_path / "golden.json")
    assert served.error == ""
    assert served.answered < 5


@pytest.mark.parametrize(("kind", "metric"), [("several", "micro_f1"), ("number", "mse")])
def test_the_gate_takes_the_rounded_model_and_refuses_one_that_is_worse(
    request: pytest.FixtureRequest, kind: str, metric: str
) -> None:
    made: Exported = request.getfixturevalue(kind)
    judges, rows = judging(made.recipe.objective), made.test()
    targets = judges.targets(rows)
    before, rounded = (made.answers(folder, "onnxruntime", rows) for folder in made.exported)
    settings, worse = made.recipe.gate.model_copy(update={"margin": 0.3}), -rounded
    verdicts = []
    for answers in (rounded, worse):
        pair = [judges.statistics(one, targets) for one in (answers, before)]
        found = decide(quality_checks(pair[0], {"pruned": pair[1]}, compared(judges, []), settings, 0), 0.05)
        assert [check.name for check in found] == [f"{metric}_difference"]
        verdicts.append(found[0].verdict)
    assert verdicts == ["ACCEPTED", "REJECTED"]


@pytest.mark.parametrize(("kind", "metric"), [("several", "micro_f1"), ("number", "mse")])
def test_a_champion_answers_as_it_is_served_and_is_compared(
    request: pytest.FixtureRequest, kind: str, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Exported = request.getfixturevalue(kind)
    judges, rows, labels = judging(made.recipe.objective), made.test(), list(made.data.labels)
    champion = deliver(made.exported[0], tmp_path / "champion", default_session(made.recipe))
    own = made.answers(champion, "onnxruntime", rows)
    if kind == "several":  # one of its labels is none of this run's, and another stands in another place
        config = json.loads((champion / "config.json").read_text())
        config["id2label"], labels = {"0": "good", "1": "bad", "2": "sport"}, ["good", "bad", "sport"]
        (champion / "config.json").write_text(json.dumps(config))
    found = ask(made.recipe, made.data, made.models, champion, tmp_path, lineage.OldData(), monkeypatch)
    assert (found.record.status, found.missing, found.version) == ("ran", "", "7")
    assert found.artifact is not None
    heard = evidence.read_logits(store.open_artifact(found.artifact), "champion")
    assert heard == pytest.approx(judges.translate(own, labels, made.data.labels), abs=1e-5)
    targets = judges.targets(rows)
    candidate, before = (
        judges.statistics(one, targets) for one in (made.answers(made.exported[-1], "onnxruntime", rows), heard)
    )
    (check,) = decide(champion_checks(made.recipe.gate, found, judges, targets, candidate, 0), level=0.05)
    now, then = (judges.metrics[metric].of(one) for one in (candidate, before))
    assert (check.name, check.rows, check.verdict) == (f"{metric}_difference", len(rows), "ACCEPTED")
    assert check.value == pytest.approx(now - then if kind == "several" else (then - now) / then)


def test_what_is_looked_at_before_a_run_goes_the_whole_way_with_one_layer(number: Exported) -> None:
    assert check_model(number.recipe, preview(number.recipe.data)).startswith("bert of 2 layers")
