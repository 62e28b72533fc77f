"""Retraining: nothing without new data, and a model that learned from worse data does not replace the champion."""

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hone.configs.recipe import Recipe, load_recipe
from hone.flows.embedded import run_retrain
from hone.flows.retrain import COOLING_DOWN, UNCHANGED, decide, encoder_changes, recipe_changes
from hone.tasks import tracking
from hone.tasks.errors import ModelError
from hone.tasks.promote import change
from tests import tiny

pytestmark = pytest.mark.usefixtures("prefect_server", "works_here")
ENDED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TEACHER_ALONE = [
    "distill.method=none", "prune.method=none", "quantize.method=none", "evaluate.cells=[1x8]", "evaluate.rounds=1",
    "evaluate.robustness=[]", "gate.margin=0.05",
]  # fmt: skip


@dataclass
class Run:
    """How one `hone retrain` ended, and who was the champion then."""

    name: str
    said: str
    champion: str
    report: dict[str, Any]


@dataclass
class Story:
    """What happened to one model, in this order."""

    recipe: Recipe
    first: Run
    again: Run
    noisy: Run
    noisy_again: Run


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, prefect_server: None, works_here: None) -> Story:
    folder = tmp_path_factory.mktemp("retrain")
    path = tiny.write_recipe(folder)
    clean = load_recipe(path, TEACHER_ALONE)
    noisy = tiny.write_corpus(folder / "noisy.jsonl", 300, seed=2, noise=0.3)
    worse = load_recipe(path, [*TEACHER_ALONE, f"data.train={noisy}"])

    def run(recipe: Recipe, output: str) -> Run:
        console = Console(file=io.StringIO(), width=300)
        name = run_retrain(recipe, str(folder / output), False, console)
        assert isinstance(console.file, io.StringIO)
        found = tracking.version_at("tiny", tracking.CHAMPION)
        report = folder / output / "report.json"
        return Run(
            name,
            console.file.getvalue(),
            found.version if found else "",
            json.loads(report.read_text()) if report.exists() else {},
        )

    first, again = run(clean, "first"), run(clean, "again")
    return Story(clean, first, again, run(worse, "noisy"), run(worse, "noisy again"))


def test_the_first_run_makes_a_champion_and_has_nothing_to_compare_with(story: Story) -> None:
    assert (story.first.name, story.first.champion) == ("ACCEPTED", "1"), story.first.said
    drift = next(stage for stage in story.first.report["stages"] if stage["name"] == "drift")
    assert (drift["status"], drift["reason"]) == ("skipped", "tiny has no champion yet")


def test_unchanged_data_end_it_at_once_and_it_says_so(story: Story) -> None:
    assert (story.again.name, story.again.champion, story.again.report) == (UNCHANGED, "1", {})
    assert "UNCHANGED  data and recipe are those of the last run" in story.again.said


def test_a_model_that_learned_from_wrong_labels_is_rejected_and_the_champion_goes_on(story: Story) -> None:
    assert (story.noisy.name, story.noisy.champion) == ("REJECTED", "1"), story.noisy.said
    checks = {(check["name"], check["subject"]): check for check in story.noisy.report["checks"]}
    refused = checks["accuracy_difference", "champion, on its own test rows"]
    assert refused["verdict"] == "REJECTED"
    assert refused["rows"] == story.first.report["data"]["rows"]["test"]
    assert story.noisy.report["registered"]["version"] == ""
    assert [(entry.action, entry.to_version) for entry in change.records("tiny")] == [("promote", "1")]


def test_the_drift_of_the_new_data_is_reported_before_the_verdict(story: Story) -> None:
    drift = story.noisy.report["drift"]
    assert (drift["name"], drift["version"]) == ("tiny", "1")
    trained = {
        side: run.report["data"]["rows"]["train"] for side, run in (("before", story.first), ("now", story.noisy))
    }
    assert drift["rows"] == trained
    # Flipped labels on the same kind of text: no side of the texts has changed, and a drift report cannot know better.
    compared = ["labels", "length", "vocabulary", "unseen_words", "embeddings", "answers"]
    assert [part["name"] for part in drift["parts"]] == compared
    assert not any(part["drifted"] for part in drift["parts"])
    assert "unseen words" in story.noisy.said
    assert "nothing drifted since version 1" in story.noisy.said


def test_another_model_is_looked_for_before_anybody_says_that_nothing_has_changed(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = story.recipe.model_copy(update={"model": story.recipe.model.model_copy(update={"source": "missing"})})
    assert run_retrain(missing, "", False, Console(file=io.StringIO())) == "INVALID"
    assert "missing" in capsys.readouterr().err


def test_an_encoder_whose_files_are_others_is_a_change_and_one_that_is_gone_is_told(story: Story) -> None:
    last = tracking.last_run("tiny")
    assert last is not None
    encoder = Path(story.recipe.model.source)
    assert encoder_changes(last.run_id, story.recipe) == []
    config, aside = encoder / "config.json", encoder.with_name("aside")
    before = config.read_text()
    try:
        config.write_text(before.replace('"hidden_size": 32', '"hidden_size": 64'))
        assert encoder_changes(last.run_id, story.recipe) == ["the files of model.source"]
        encoder.rename(aside)
        with pytest.raises(ModelError, match="there is no such folder"):
            encoder_changes(last.run_id, story.recipe)
    finally:
        aside.rename(encoder)
        config.write_text(before)


def test_data_that_were_refused_once_are_not_tried_again(story: Story) -> None:
    assert (story.noisy_again.name, story.noisy_again.champion) == (UNCHANGED, "1")


@pytest.mark.parametrize(
    ("found", "changes", "champion", "hours_later", "cooldown", "outcome", "why"),
    [
        (["a", "b"], [], True, 100, 0, UNCHANGED, "data and recipe are those of the last run"),
        (["a", "b"], [], True, 1, 6, UNCHANGED, "data and recipe are those of the last run"),
        (["a", "c"], [], True, 1, 6, COOLING_DOWN, "the data have changed, but"),
        (["a", "c"], [], True, 6, 6, "", "the data have changed"),
        (["a"], [], True, 1, 0, "", "the data have changed"),
        (["a", "b"], ["seed 0 -> 1"], True, 1, 0, "", "the recipe has changed (seed 0 -> 1)"),
        (["a", "b"], ["seed 0 -> 1"], True, 1, 6, COOLING_DOWN, "the recipe has changed (seed 0 -> 1), but"),
        (["a", "b"], [], False, 1, 0, "", "there is no champion"),
        (["a"], ["seed 0 -> 1"], False, 1, 0, "", "the data have changed and the recipe has changed (seed 0 -> 1) and"),
    ],
)
def test_it_runs_where_something_is_new_or_nothing_is_served_and_says_which(
    found: list[str], changes: list[str], champion: bool, hours_later: float, cooldown: float, outcome: str, why: str
) -> None:
    made = decide(found, ["a", "b"], changes, champion, ENDED, ENDED + timedelta(hours=hours_later), cooldown)
    assert made.outcome == outcome
    assert made.message.startswith(why)


def test_a_change_of_the_recipe_is_one_of_what_decides_the_model_and_not_of_new_settings(tmp_path: Path) -> None:
    path = tiny.write_recipe(tmp_path)
    before = tracking.as_params(load_recipe(path).model_dump(mode="json"))
    assert recipe_changes(before, load_recipe(path)) == []
    assert recipe_changes(before, load_recipe(path, ["compute.max_failures=1", "retrain.cooldown_hours=3"])) == []
    known = {key: value for key, value in before.items() if key != "train.epochs"}
    assert recipe_changes(known, load_recipe(path, ["train.epochs=9"])) == []
    assert recipe_changes(before, load_recipe(path, ["train.epochs=9", "prune.method=none"])) == [
        f"prune.method {before['prune.method']} -> none",
        f"train.epochs {before['train.epochs']} -> 9",
    ]


def test_a_trigger_within_the_cool_down_is_dropped_and_says_when_the_data_are_taken_up() -> None:
    made = decide(["c"], ["a"], [], True, ENDED, ENDED + timedelta(hours=1), 6)
    assert "this trigger is dropped. The first one after 2026-03-01 18:00 UTC takes it up" in made.message
