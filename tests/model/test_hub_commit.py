"""A hub id is looked up once a stage, by the driver: what is trained is of one commit, which is recorded, though the
hub's branch moves meanwhile."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from hone.configs.model import ModelSettings
from hone.configs.recipe import parse_recipe
from hone.tasks import cluster, store
from hone.tasks.contracts import Checkpoint, PreparedData, StageRecord, TrainedModel
from hone.tasks.distill import student as students
from hone.tasks.distill.task import distill_student
from hone.tasks.model.checkpoints.checkpoint import load_pretrained, save_model
from hone.tasks.model.checkpoints.source import content_digest, hub_commit, resolve_source
from hone.tasks.model.teacher import outputs as teacher_outputs
from hone.tasks.stage import RunContext
from hone.tasks.train.task import train_teacher
from tests.model.teaching_fixtures import write_data
from tests.tiny import write_encoder

COMMITS = ["0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"]
LABELS = ["bad", "good"]
RECORD = StageRecord(name="any", status="ran", reason="", seconds=1.0)


class Hub:
    """A hub that had one more commit whenever it is asked, as `huggingface_hub` answers for it."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, str]] = []
        self.snapshots = [folder / "models--somebody--encoder" / "snapshots" / commit for commit in COMMITS]
        for layers, snapshot in enumerate(self.snapshots, start=1):
            write_encoder(snapshot, layers=layers)

    def snapshot_download(self, name: str, *, revision: str, allow_patterns: list[str]) -> str:
        self.asked.append((name, revision))
        return str(self.snapshots[min(len(self.asked), len(self.snapshots)) - 1])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    found = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", found.snapshot_download)
    return found


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digest of the encoder that goes to the workers, for each job. None of them is started: what they would have made
    lies there already."""
    found: list[str] = []
    settings = ModelSettings(source=str(write_encoder(tmp_path / "any", layers=1)), weights="random", max_length=16)
    save_model(*load_pretrained(settings, LABELS, seed=0, task="text-classification"), tmp_path / "trained")

    def train(job: Any, *_: object) -> SimpleNamespace:
        found.append(content_digest(job.arguments["encoder"]) if "encoder" in job.arguments else "")
        measured = {"validation": {"accuracy": 0.5, "loss": 0.7}, "curves": [], "sums": [0.7, 0.5, 1.0, 0.0, 1.0]}
        return SimpleNamespace(best=tmp_path / "trained", **measured)

    monkeypatch.setattr(cluster, "start", lambda _: None)
    monkeypatch.setattr(cluster, "train", train)
    return found


def data(folder: Path) -> PreparedData:
    write_data(folder, train=1, validation=1)
    rows = {"train": 1, "validation": 1}
    artifact = store.describe(folder, [])
    return PreparedData(record=RECORD, artifact=artifact, content_digest="sha256:0", labels=LABELS, rows=rows)


def context(folder: Path, **sections: Any) -> RunContext:
    model = {"source": "somebody/encoder", "weights": "random", "max_length": 16}
    recipe = parse_recipe({"data": {"train": "a.csv"}, "model": model} | sections)
    return RunContext(recipe=recipe, output=str(folder / "out"), storage=str(folder / "storage"))


def test_the_teacher_is_of_the_commit_that_was_found_first(tmp_path: Path, hub: Hub, sent: list[str]) -> None:
    made = train_teacher.fn(context(tmp_path), data(tmp_path / "splits")).checkpoint
    assert hub.asked == [("somebody/encoder", "main")]
    first, second = (content_digest(snapshot) for snapshot in hub.snapshots)
    assert (sent, made.artifact.made_from[-1]) == ([first], first)
    assert first != second
    assert made.notes == {"hub_commit": COMMITS[0]}


def test_the_student_is_of_the_commit_that_was_found_first(
    tmp_path: Path, hub: Hub, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []

    def write_student(_teacher: Path, _data: Path, folder: Path, *, other: Path, **_: Any) -> list[int]:
        taken.append(other)
        shutil.copytree(other, folder)
        return [0]

    write_data(tmp_path / "outputs", train=1, validation=1)
    (tmp_path / "outputs" / "manifest.json").write_text('{"mask_token": null}')
    monkeypatch.setattr(students, "write_student", write_student)
    monkeypatch.setattr(teacher_outputs, "prepare", lambda *_, **__: tmp_path / "outputs")
    teacher = Checkpoint(
        artifact=store.describe(tmp_path / "trained", []),
        parameters=1,
        nonzero_parameters=1,
        validation_accuracy=0.5,
        validation_loss=0.7,
    )
    run = context(tmp_path, distill={"student": "somebody/encoder", "student_revision": "v2"})
    found = distill_student.fn(run, data(tmp_path / "splits"), TrainedModel(record=RECORD, checkpoint=teacher))
    assert hub.asked == [("somebody/encoder", "v2")]
    assert taken == [hub.snapshots[0]]
    assert len(sent) == 1
    assert found.checkpoint.notes == {"teacher_layers": [0], "hub_commit": COMMITS[0]}


def test_a_folder_that_is_no_snapshot_of_the_hub_has_no_commit(tmp_path: Path, hub: Hub) -> None:
    assert hub_commit(resolve_source("somebody/encoder")) == COMMITS[0]
    for folder in (tmp_path, tmp_path / COMMITS[0], tmp_path / "snapshots" / "main"):
        assert hub_commit(folder) == ""
