"""Retraining: nothing without new data, and a model that learned from worse data does not replace the champion."""

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from configs.recipe import Recipe, load_recipe
from flows.embedded import run_retrain
from flows.retrain import COOLING_DOWN, UNCHANGED, pause
from tasks import tracking
from tasks.promote import change
from tests import tiny

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
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
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
    assert "UNCHANGED  the data are those of the last run" in story.again.said


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


def test_data_that_were_refused_once_are_not_tried_again(story: Story) -> None:
    assert (story.noisy_again.name, story.noisy_again.champion) == (UNCHANGED, "1")


@pytest.mark.parametrize(
    ("found", "hours_later", "cooldown", "name"),
    [
        (["a", "b"], 100, 0, UNCHANGED),
        (["a", "b"], 1, 6, UNCHANGED),
        (["a", "c"], 1, 6, COOLING_DOWN),
        (["a", "c"], 6, 6, None),
        (["a"], 1, 0, None),
    ],
)
def test_it_runs_on_changed_data_once_the_cool_down_is_over(
    found: list[str], hours_later: float, cooldown: float, name: str | None
) -> None:
    made = pause(found, ["a", "b"], ENDED, ENDED + timedelta(hours=hours_later), cooldown)
    assert (made.name if made else None) == name


def test_a_trigger_within_the_cool_down_is_dropped_and_says_when_the_data_are_taken_up() -> None:
    made = pause(["c"], ["a"], ENDED, ENDED + timedelta(hours=1), 6)
    assert made is not None
    assert "this trigger is dropped. The first one after 2026-03-01 18:00 UTC takes the data up" in made.message
