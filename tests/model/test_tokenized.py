"""A split is tokenized once, and whoever learns from the files gets the batches that it would have made itself."""

import shutil
from collections import namedtuple
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
import torch
from pyarrow import parquet
from transformers import PreTrainedTokenizerFast

from hone.configs.recipe import Task
from hone.tasks import cache_room
from hone.tasks.errors import PreflightError
from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from hone.tasks.model.text import bucketed_batches, make_batch, sequential_batches
from hone.tasks.model.tokenized import Split, TokenizedSplit, TokenizedSplits, open_split, tokenizer_digest
from hone.tasks.model.training.job_payload import materialize, upload_inputs
from hone.tasks.model.training.trainable import TrainingJob
from tests.model.training_fixtures import files, finish, make_job
from tests.tiny import GOOD, sentences, write_encoder

Usage = namedtuple("Usage", "total used free")
TASKS: list[Task] = ["text-classification", "token-classification", "question-answering"]
LENGTH = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenized")
    write_encoder(folder / "encoder")
    for task in TASKS:
        write_rows(folder / task / "train.parquet", 90, task)
    return folder


@pytest.fixture
def tokenizer(place: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(place / "encoder")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are really tokenized."""
    seen: list[Path] = []
    tokenize = Split.tokenize

    def spy(split: Split) -> TokenizedSplit:
        seen.append(split.rows)
        return tokenize(split)

    monkeypatch.setattr(Split, "tokenize", spy)
    return seen


def write_rows(path: Path, count: int, task: Task = TASKS[0]) -> Path:
    """Pairs of texts with labels, or sentences or questions of which many need several windows; the last third are
    perturbed copies, of which nobody knows the label."""
    tags = task == "token-classification"
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [text for text, _label in sentences(count, seed=2)]
    known = 2 * count // 3
    columns: dict[str, Any] = {
        "text": arrow.array(texts, arrow.string()),
        "pair": arrow.array([None if tags else "a story" for _ in texts], arrow.string()),
        "label": arrow.array([-1 if tags or row >= known else row % 2 for row in range(count)], arrow.int32()),
    }
    if tags:
        words = [text.split() for text in texts]
        columns["tokens"] = arrow.array(words, arrow.list_(arrow.string()))
        told = [[int(word in GOOD) if row < known else -1 for word in several] for row, several in enumerate(words)]
        columns["tags"] = arrow.array(told, arrow.list_(arrow.int32()))
    if task == "question-answering":
        columns |= {"text": arrow.array(["a film"] * count, arrow.string()), "pair": columns["text"]}
        columns |= {name: arrow.array([[place]] * count, arrow.list_(arrow.int32()))
                    for place, name in ((0, "starts"), (3, "ends"))}  # fmt: skip
    parquet.write_table(arrow.table(columns), path)
    return path


def kept(storage: Path, owner: str = "demo", stage: str = "distill", **more: Any) -> TokenizedSplits:
    return TokenizedSplits(storage, owner, stage, **more)


def epoch_rows(place: Path, task: Task = TASKS[0]) -> Path:
    return place / task / "train.parquet"


def split_of(place: Path, tokenizer: PreTrainedTokenizerFast, task: Task = TASKS[0]) -> Split:
    return Split(epoch_rows(place, task), tokenizer, LENGTH, task)


def batches(text: Any) -> list[dict[str, torch.Tensor]]:
    """Those of two epochs of a training, and of a validation."""
    asked = [places for epoch in (1, 2) for places in bucketed_batches(text.lengths, 8, seed=3, epoch=epoch)]
    return [make_batch(text, places, 0, "cpu") for places in [*asked, *sequential_batches(text.lengths, 8)]]


@pytest.mark.parametrize("task", TASKS)
def test_batches_from_the_files_are_those_of_tokenizing_bit_for_bit(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, task: Task
) -> None:
    split = split_of(place, tokenizer, task)
    direct, read = split.tokenize(), open_split(kept(tmp_path).folder(split))
    assert direct.labelled == read.labelled == 60
    for field in fields(direct.text):
        own, other = getattr(direct.text, field.name), getattr(read.text, field.name)
        if not isinstance(own, np.ndarray):
            assert own == other
            continue
        assert (own.dtype, own.shape, type(other)) == (other.dtype, other.shape, np.ndarray)
        assert np.array_equal(own, other)
    assert (read.text.sources is not None) == read.text.by_token == (task != "text-classification")
    pairs = list(zip(batches(direct.text), batches(read.text), strict=True))
    assert len(pairs) > 30
    for mine, theirs in pairs:
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("task", TASKS)
def test_a_tokenizer_is_left_as_tokenizing_leaves_it(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, task: Task
) -> None:
    """It is saved with the model, and says there at which length it cuts."""
    kept(tmp_path).folder(split_of(place, tokenizer, task))
    left = tokenizer.backend_tokenizer.to_str()
    reader = load_tokenizer(place / "encoder")
    reader(["a film", "the film"], padding=True, truncation=True, max_length=3)
    assert reader.backend_tokenizer.to_str() != left
    kept(tmp_path).read(split_of(place, reader, task))
    assert reader.backend_tokenizer.to_str() == left


def test_token_ids_are_mapped_and_cannot_be_written(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    text = kept(tmp_path).read(split_of(place, tokenizer))
    assert isinstance(text.ids.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        text.ids[0] = 1


def test_a_split_without_rows_is_one_too(place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = write_rows(tmp_path / "none.parquet", 0)
    text = kept(tmp_path).read(replace(split_of(place, tokenizer), rows=rows))
    assert (len(text), len(text.ids)) == (0, 0)


def test_it_is_tokenized_once_whoever_asks_and_wherever_its_tokenizer_lies(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, calls: list[Path]
) -> None:
    tokenizer(
        ["a film", "the story of its cast"], padding=True, truncation=True, max_length=3
    )  # settings that it keeps
    tokenizer.save_pretrained(tmp_path / "saved")
    shutil.copy(place / "encoder" / "config.json", tmp_path / "saved")
    copy = shutil.copy(epoch_rows(place), tmp_path / "train.parquet")
    asked = [
        kept(tmp_path, stage=stage).folder(Split(rows, load_tokenizer(at), LENGTH, TASKS[0]))
        for stage, rows, at in [
            ("train", epoch_rows(place), place / "encoder"),
            ("distill", Path(copy), place / "encoder"),
            ("prune", epoch_rows(place), tmp_path / "saved"),
        ]
    ]
    assert len(set(asked)) == len(calls) == 1
    before = tokenizer.backend_tokenizer.to_str()
    assert tokenizer_digest(tokenizer) == tokenizer_digest(load_tokenizer(place / "encoder"))
    assert tokenizer.backend_tokenizer.to_str() == before


def test_another_text_length_task_or_vocabulary_is_another_split(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, calls: list[Path]
) -> None:
    splits, own = kept(tmp_path), split_of(place, tokenizer, "token-classification")
    other = write_rows(tmp_path / "train.parquet", 30, "token-classification")
    folders = [splits.folder(own), splits.folder(replace(own, rows=other))]
    folders += [splits.folder(replace(own, max_length=LENGTH + 1)), splits.folder(replace(own, task=TASKS[0]))]
    tokenizer.add_tokens(["film"])
    folders.append(splits.folder(own))
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    folders.append(splits.folder(own))
    tokenizer.truncation_side = "left"
    folders.append(splits.folder(own))
    assert len(set(folders)) == len(calls) == 7


def test_a_mask_that_is_not_the_tokenizers_own_is_read_as_it_and_is_another_split(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = tmp_path / "train.parquet"
    told = {"text": ["the <mask> film", "a [MASK]"], "pair": arrow.nulls(2, arrow.string()), "label": [-1, -1]}
    parquet.write_table(arrow.table(told), rows)
    splits, split = kept(tmp_path), Split(rows, tokenizer, LENGTH, TASKS[0])
    plain = splits.folder(split)
    assert splits.folder(replace(split, mask_token="[MASK]")) == plain
    read = splits.read(replace(split, mask_token="<mask>"))
    assert read.ids.tolist().count(tokenizer.mask_token_id) == 2
    assert open_split(plain).text.ids.tolist().count(tokenizer.mask_token_id) == 1


@pytest.mark.parametrize("fault", ["changed", "absent", "torn"])
def test_a_damaged_split_is_told_and_made_again_to_the_same_bytes(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, calls: list[Path], fault: str
) -> None:
    told: list[str] = []
    splits, split = kept(tmp_path, tell=told.append), split_of(place, tokenizer)
    folder = splits.folder(split)
    before = files(folder)
    file = folder / ("manifest.json" if fault == "torn" else "ids.npy")
    file.unlink() if fault == "absent" else file.write_bytes(before[file.name][:-1])
    assert splits.folder(split) == folder
    assert files(folder) == before
    assert len(calls) == 2
    assert len(told) == 1
    assert ("unreadable" if fault == "torn" else "ids.npy; made again") in told[0]


def test_a_disk_without_room_is_told_before_anything_is_written(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(100, 90, 10))
    with pytest.raises(PreflightError, match=r"90 tokenized rows take 0.0 GB and 0.0 GB are free: make room by `hone"):
        kept(tmp_path).folder(split_of(place, tokenizer))
    assert list((tmp_path / "tokenized").iterdir()) == []


def test_without_a_storage_it_is_tokenized_where_it_is_read(place: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    split = split_of(place, tokenizer)
    assert np.array_equal(TokenizedSplits().read(split).ids, split.open(None).text.ids)
    with pytest.raises(ValueError, match="no storage to keep tokenized splits in"):
        TokenizedSplits().folder(split)


def test_each_recipe_owns_its_newest_of_each_stage_and_the_others_are_cleared_away(
    place: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    def made(owner: str, stage: str, length: int) -> str:
        return kept(tmp_path, owner, stage).folder(replace(split_of(place, tokenizer), max_length=length)).name

    with cache_room.using(tmp_path):
        old, new, pruned = made("a.b", "train", 8), made("a.b", "train", 9), made("a.b", "prune", 10)
        assert made("other", "train", 9) == new
        assert cache_room.clear_outputs(tmp_path) == 0  # a run that goes on has used them all
    owners = {entry.key: (entry.stage, entry.owners) for entry in cache_room.entries(tmp_path)}
    kind = "tokenized"
    assert owners == {old: (kind, []), new: (kind, ["a.b", "other"]), pruned: (kind, ["a.b"])}
    assert cache_room.clear_outputs(tmp_path) > 0
    assert {entry.key for entry in cache_room.entries(tmp_path)} == {new, pruned}
    (tmp_path / kind / new / "ids.npy").write_bytes(b"?")
    assert cache_room.verify(tmp_path) == {f"{kind}/{new}": "ids.npy changed or absent"}
    assert {path.parent.name for path in tmp_path.glob(f"{kind}/*/ids.npy")} == {new, pruned}


def with_texts(job: TrainingJob, storage: Path) -> TrainingJob:
    """The same job with its splits tokenized ahead."""
    model, data = job.arguments["model"], job.arguments["data"]
    tokenizer = load_tokenizer(Path(model.source))
    texts = {
        f"{split}_text": kept(storage).folder(Split(data / f"{split}.parquet", tokenizer, model.max_length, job.task))
        for split in ("train", "validation")
    }
    return replace(job, arguments=job.arguments | texts)


def test_a_model_that_learns_from_the_files_is_the_same_to_the_last_bit(folder: Path, calls: list[Path]) -> None:
    own = make_job(folder, "own", epochs=1)
    ahead = with_texts(make_job(folder, "ahead", epochs=1), folder / "storage")
    del calls[:]
    results = [finish(job) for job in (own, ahead)]
    assert files(results[0].best) == files(results[1].best)
    assert results[0].validation == results[1].validation
    assert results[0].curves == results[1].curves


def test_a_worker_on_another_machine_gets_the_files_through_the_bucket(
    bucket: Path, tmp_path: Path, calls: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hone.tasks import storage

    here = storage.folder_of("s3://team/hone")
    made = make_job(tmp_path / "own", rows=24)
    data = here / "data"
    shutil.copytree(tmp_path / "own" / "data-24", data)
    storage.send(data)
    job = replace(made, workdir=here / "x" / "training", arguments=made.arguments | {"data": data})
    job = with_texts(job, here)
    expected = open_split(job.arguments["train_text"]).text
    assert len(calls) == 2
    assert [path.name for path in (bucket / "hone/tokenized").glob("*/manifest.json")] == ["manifest.json"] * 2
    parcel = upload_inputs(job)
    assert {parcel.job.arguments[f"{split}_text"].uri for split in ("train", "validation")} == {
        storage.uri_of(path.parent) for path in (here / "tokenized").glob("*/manifest.json")
    }
    monkeypatch.setenv("HONE_MIRROR", str(tmp_path / "another-machine"))
    with materialize(parcel, rank=0, world_size=1) as (there, _keep):
        trainable = there.make_trainable(there, torch.device("cpu"))
        assert there.arguments["train_text"].is_relative_to(tmp_path / "another-machine")
    assert np.array_equal(trainable.train.ids, expected.ids)
    another = with_texts(replace(job, arguments=job.arguments | {"data": data}), storage.folder_of("s3://team/hone"))
    assert another.arguments["train_text"].is_relative_to(tmp_path / "another-machine")
    assert len(calls) == 2  # a driver there finds them in the bucket as well
