"""What the teacher says, computed once."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from hone.configs.model import DistillSettings
from hone.tasks import cache_room, storage
from hone.tasks.contracts import Artifact, Checkpoint
from hone.tasks.errors import ModelError, PreflightError
from hone.tasks.model.architectures.layers import layer_modules
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.teacher import outputs as teacher_outputs
from hone.tasks.model.teacher.outputs import TeacherOutputs, matched_layers, prepare
from hone.tasks.model.text import make_batch, read_split, tokenize
from tests.model.teaching_fixtures import artifact, ask_teacher, write_data, write_teacher

LOSS = DistillSettings(layers=[0, 2], hidden_weight=1, relation_weight=1, augment=2)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("outputs")
    write_teacher(folder / "teacher")
    write_data(folder / "data")
    return folder


@pytest.fixture(scope="module")
def outputs(place) -> Path:
    return ask_teacher(place / "storage", place / "teacher", place / "data", LOSS, [0, 2])


def asked(place, monkeypatch, loss=LOSS, layers=(0, 2), storage="storage") -> list[list[str]]:
    """What the teacher is asked for when the outputs are prepared."""
    calls = []

    def spy(question, wanted, into, on_progress):
        calls.append(wanted)
        return run_teacher(question, wanted, into, on_progress)

    run_teacher = teacher_outputs.run_teacher
    monkeypatch.setattr(teacher_outputs, "run_teacher", spy)
    ask_teacher(place / storage, place / "teacher", place / "data", loss, list(layers))
    monkeypatch.setattr(teacher_outputs, "run_teacher", run_teacher)
    return calls


def test_outputs_are_those_of_the_model_itself(place, outputs):
    teacher, tokenizer = load_model(place / "teacher"), load_tokenizer(place / "teacher")
    read = TeacherOutputs(outputs)
    text = tokenize(tokenizer, read.rows(), 32)
    rows = np.array([3, 77, 40, 119])  # of the training split and of both copies
    batch = make_batch(text, rows, tokenizer.pad_token_id, "cpu")
    kept = {}
    layer_modules(teacher)[-1].value.register_forward_hook(lambda m, i, o: kept.update(value=o))
    with torch.no_grad():
        answer = teacher(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            token_type_ids=batch["token_type_ids"],
            output_hidden_states=True,
        )
    length, mask = batch["input_ids"].shape[1], batch["attention_mask"][:, :, None]
    assert torch.allclose(read.targets(batch["rows"], length), answer.logits, atol=1e-5)
    for layer in (0, 2):  # half precision keeps 11 bits
        found = read.hidden(layer, batch["rows"], length)
        assert found.dtype == torch.float16
        assert torch.allclose(found.float(), answer.hidden_states[layer + 1] * mask, atol=2e-3)
    assert torch.allclose(read.relations(batch["rows"], length)[2].float(), kept["value"] * mask, atol=2e-2, rtol=1e-3)


def test_copies_follow_the_training_rows_and_carry_no_label(place, outputs):
    original, rows = read_split(place / "data", "train"), TeacherOutputs(outputs).rows()
    assert rows.texts[:40] == original.texts
    assert rows.labels.tolist() == [*original.labels.tolist(), *[-1] * 80]


def test_outputs_are_computed_once(place, outputs, monkeypatch):
    assert asked(place, monkeypatch) == []


def test_a_later_stage_adds_only_the_layers_it_misses(place, monkeypatch):
    loss = LOSS.model_copy(update={"relation_weight": 0.0})
    first = asked(place, monkeypatch, loss, [2], storage="growing")
    assert first == [["train.parquet", "offsets.npy", "logits.npy", "tokens.npy", "hidden-2.npy"]]
    assert asked(place, monkeypatch, LOSS, [1, 2], storage="growing") == [["hidden-1.npy", "relations.npy"]]
    assert asked(place, monkeypatch, LOSS, [1, 2], storage="growing") == []


def test_a_damaged_file_is_computed_again_to_the_same_bytes(place, outputs, monkeypatch):
    file = outputs / "hidden-0.npy"
    before = file.read_bytes()
    file.write_bytes(before[:-1] + b"?")
    assert asked(place, monkeypatch) == [["hidden-0.npy"]]
    assert file.read_bytes() == before


def test_the_recipe_owns_its_newest_and_hears_what_they_take(place):
    told = []

    def asked_with(seed):
        return prepare(
            place / "owned",
            teacher=artifact(place / "teacher"),
            data=artifact(place / "data"),
            loss=DistillSettings(hidden_weight=0),
            layers=[],
            max_length=32,
            seed=seed,
            owner="demo",
            on_progress=lambda done, total, note: told.append(note),
            task="text-classification",
        )

    def owners():
        entries = cache_room.entries(place / "owned")
        return {entry.key: entry.owners for entry in entries if entry.stage == "teacher_outputs"}

    first, second = asked_with(0), asked_with(1)
    assert told[-1] == "the teacher's outputs take 0 MB of the disk"
    assert owners() == {first.name: [], second.name: ["demo"]}
    asked_with(0)
    assert owners() == {first.name: ["demo"], second.name: []}


def test_outputs_of_another_device_are_others(place, outputs, monkeypatch):
    monkeypatch.setattr(teacher_outputs, "driver_device", lambda: "cuda")
    assert ask_teacher(place / "storage", place / "teacher", place / "data", LOSS, [0]) != outputs


@pytest.mark.parametrize("content", ["", '{"digests": {"logits', "[]", "{}"])
def test_a_manifest_that_a_power_cut_left_is_told_and_all_is_made_again(place, outputs, tmp_path, content):
    there = tmp_path / "storage"
    shutil.copytree(outputs, there / "teacher_outputs" / outputs.name)
    torn = there / "teacher_outputs" / outputs.name / "manifest.json"
    torn.write_text(content)
    told = []
    loss = LOSS.model_copy(update={"relation_weight": 0.0})
    prepare(
        there,
        teacher=artifact(place / "teacher"),
        data=artifact(place / "data"),
        loss=loss,
        layers=[2],
        max_length=32,
        seed=0,
        owner="demo",
        on_progress=lambda done, total, note: told.append(note),
        task="text-classification",
    )
    assert told[0].startswith(f"unreadable: {torn}")
    assert "made again" in told[0]
    assert set(json.loads(torn.read_text())["digests"]) == set(teacher_outputs.required_files(loss, [2]))
    assert (torn.parent / "logits.npy").read_bytes() == (outputs / "logits.npy").read_bytes()


def test_a_bucket_gets_what_it_lacks_and_the_manifest_last(place, bucket, monkeypatch):
    here, sent = storage.folder_of("s3://team/x"), []
    put = storage.put

    def spy(source, uri):
        if "/teacher_outputs/" in uri:
            sent.append(source.name)
        put(source, uri)

    monkeypatch.setattr(storage, "put", spy)
    loss = LOSS.model_copy(update={"relation_weight": 0.0})
    first = ask_teacher(here, place / "teacher", place / "data", loss, [2])
    whole = ["train.parquet", "offsets.npy", "logits.npy", "tokens.npy", "hidden-2.npy", "manifest.json"]
    assert sent == whole
    ask_teacher(here, place / "teacher", place / "data", loss, [1, 2])
    assert sent[len(whole) :] == ["hidden-1.npy", "manifest.json"]
    ask_teacher(here, place / "teacher", place / "data", loss, [1, 2])
    assert len(sent) == len(whole) + 2
    there = bucket / "x" / "teacher_outputs" / first.name
    assert {path.name: path.read_bytes() for path in there.iterdir()} == {
        path.name: path.read_bytes() for path in first.iterdir()
    }
    (there / "manifest.json").write_text("")  # as a machine that died while it sent it may leave it
    ask_teacher(here, place / "teacher", place / "data", loss, [1, 2])
    assert len(sent) == len(whole) + 2 + 7


def test_an_interrupted_computation_leaves_nothing_that_counts(place, outputs):
    storage = place / "interrupted"
    shutil.copytree(outputs, storage / "teacher_outputs" / outputs.name)
    half_way = storage / "teacher_outputs" / outputs.name
    (half_way / "manifest.json").unlink()
    (half_way / "new").mkdir()
    (half_way / "new" / "logits.npy").write_bytes(b"half a file")
    again = ask_teacher(storage, place / "teacher", place / "data", LOSS, [0, 2])
    assert again == half_way
    assert not (half_way / "new").exists()
    assert json.loads((again / "manifest.json").read_text()) == json.loads((outputs / "manifest.json").read_text())


def test_only_what_the_loss_needs_is_stored(place):
    loss = DistillSettings(hidden_weight=0)
    folder = ask_teacher(place / "logits", place / "teacher", place / "data", loss, [0, 2])
    assert sorted(path.name for path in folder.glob("*.npy")) == ["logits.npy", "offsets.npy"]


@pytest.mark.parametrize("change", [{"augment": 1}, {"precision": "bf16"}])
def test_other_copies_or_another_precision_are_other_outputs(place, outputs, change):
    folder = ask_teacher(place / "storage", place / "teacher", place / "data", LOSS.model_copy(update=change), [0])
    assert folder != outputs


def test_a_layer_the_teacher_does_not_have_is_refused(place):
    with pytest.raises(ModelError, match=r"layers \[3, 7\] .* it has 3 layers, counted from 0: name some of 0 to 2"):
        ask_teacher(place / "refused", place / "teacher", place / "data", LOSS, [1, 3, 7])


def test_a_disk_without_room_is_told_before_anything_is_written(place, outputs, monkeypatch):
    shutil.copytree(place / "storage" / "tokenized", place / "full" / "tokenized")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(100, 90, 10))
    with pytest.raises(PreflightError, match=r"outputs take 0.0 GB and 0.0 GB are free: lower distill.augment"):
        ask_teacher(place / "full", place / "teacher", place / "data", LOSS, [0])


def test_matched_layers_are_those_noted_or_else_each_its_own(place):
    def checkpoint(**notes):
        return Checkpoint(
            artifact=artifact(place / "teacher"),
            parameters=1,
            nonzero_parameters=1,
            validation_accuracy=0,
            validation_loss=0,
            notes=notes,
        )

    assert matched_layers(checkpoint(teacher_layers=[1, 5])) == [1, 5]
    assert matched_layers(checkpoint()) == [0, 1, 2]
    assert isinstance(checkpoint().artifact, Artifact)
