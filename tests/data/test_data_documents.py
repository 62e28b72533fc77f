"""Documents: read whole out of plain text and tables, counted where they cannot be used, and split by their hash."""

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from pydantic import ValidationError

from hone.configs.data import DataSettings
from hone.configs.recipe import RecipeError, parse_recipe
from hone.tasks.data.documents import as_written
from hone.tasks.data.prepare import Prepared, prepare
from hone.tasks.data.preview import preview
from hone.tasks.data.source import open_source
from hone.tasks.errors import DataError
from hone.tasks.model.text import read_split

TEXTS = [f"Chapter {index}\n\n    indented {index * index}\nend" for index in range(40)]


def settings_of(train: Path, **others: Any) -> DataSettings:
    return DataSettings(train=str(train), document_column="text", **others)


def prepared(settings: DataSettings, folder: Path) -> Prepared:
    return prepare(open_source(settings), settings, 0, folder)


def all_texts(folder: Path) -> list[str]:
    return sorted(text for split in ("train", "validation", "test") for text in read_split(folder, split).texts)


def write_folder(folder: Path) -> Path:
    folder.mkdir()
    for index, text in enumerate(TEXTS):
        (folder / f"{index:02}.txt").write_bytes(text.replace("\n", "\r\n").encode())
    return folder


def test_each_plain_text_file_is_a_document_with_its_lines_and_indentation(tmp_path: Path) -> None:
    made = prepared(settings_of(write_folder(tmp_path / "books")), tmp_path / "data")
    assert all_texts(tmp_path / "data") == sorted(TEXTS)
    assert (made.labels, made.target, sum(made.rows.values())) == (["document"], "text", len(TEXTS))
    assert read_split(tmp_path / "data", "train").labels.tolist() == [0] * made.rows["train"]


def test_a_blank_line_ends_a_document_where_the_recipe_says_so(tmp_path: Path) -> None:
    file = tmp_path / "all.txt.gz"
    blocks = [f"line {index}\n  more of {index}" for index in range(30)]
    file.write_bytes(gzip.compress(("\ufeff" + "\n\n \n".join(blocks)).encode()))
    prepared(settings_of(file, document_end="blank line"), tmp_path / "data")
    assert all_texts(tmp_path / "data") == sorted(blocks)


def test_tables_and_plain_text_of_the_same_documents_are_the_same_data(tmp_path: Path) -> None:
    lines = [json.dumps({"body": text, "topic": "a"}) for text in TEXTS]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    table = DataSettings(train=str(tmp_path / "all.jsonl"), document_column="body")
    plain = settings_of(write_folder(tmp_path / "books"))
    digests = [prepared(one, tmp_path / name).content_digest for name, one in (("a", table), ("b", plain))]
    assert digests[0] == digests[1]


def test_what_is_empty_undecodable_or_there_twice_is_counted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "books")
    (folder / "40.txt").write_text(" \n\n")
    (folder / "41.txt").write_bytes(b"caf\xe9 au lait\nand more")
    (folder / "42.txt").write_text(TEXTS[3])
    made = prepared(settings_of(folder, max_bad_fraction=0.1), tmp_path / "data")
    found = {bad.kind: (bad.count, bad.lines) for bad in made.bad_rows}
    assert {kind: count for kind, (count, _lines) in found.items()} == {
        "undecodable": 1,
        "empty_text": 1,
        "duplicate_text": 1,
    }
    assert found["undecodable"][1][0].startswith("train:41.txt:")
    assert all_texts(tmp_path / "data") == sorted(TEXTS)


def test_a_document_that_differs_in_case_alone_is_not_left_in_training_beside_the_test(tmp_path: Path) -> None:
    for name, texts in (("train", TEXTS), ("test", [TEXTS[0].upper(), "another"])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    settings = settings_of(tmp_path / "train.jsonl", test=str(tmp_path / "test.jsonl"))
    made = prepared(settings, tmp_path / "data")
    assert [(bad.kind, bad.count) for bad in made.bad_rows] == [("split_overlap", 1)]
    assert TEXTS[0] not in read_split(tmp_path / "data", "train").texts


def test_a_document_stays_in_its_split_whatever_comes_later(tmp_path: Path) -> None:
    for name, texts in (("few", TEXTS[:30]), ("many", TEXTS)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
        prepared(settings_of(tmp_path / f"{name}.jsonl"), tmp_path / name)
    before, after = (set(read_split(tmp_path / name, "test").texts) for name in ("few", "many"))
    assert before
    assert before <= after


def test_a_saved_dataset_of_texts_needs_no_label(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": TEXTS}).save_to_disk(str(tmp_path / "saved"))
    settings = DataSettings(source="saved", dataset=str(tmp_path / "saved"), document_column="text")
    assert prepared(settings, tmp_path / "data").labels == ["document"]
    assert all_texts(tmp_path / "data") == sorted(TEXTS)


def test_whole_docstrings_are_documents(tmp_path: Path) -> None:
    settings = DataSettings(source="docstrings", libraries=["json"], document_column="text")
    prepared(settings, tmp_path / "data")
    texts = all_texts(tmp_path / "data")
    assert any("\n\n" in text and ">>> import json" in text for text in texts)
    assert preview(settings).label_names == ["document"]


def test_line_ends_are_one_and_blanks_inside_stay() -> None:
    assert as_written("\r\n a  b\r\n\r\n\tc\rd \n") == "a  b\n\n\tc\nd"
    assert as_written(as_written(" a\r\r\nb ")) == as_written(" a\r\r\nb ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"format": "txt"}, "data.format is 'txt' but data.document_column is empty"),
        ({"document_column": "text", "lowercase": True}, "data.lowercase is True: documents are learned as they are"),
        ({"document_column": "text", "labels": "several"}, "data.labels is 'several'"),
        ({"document_column": "text", "context_column": "c"}, "data.context_column is 'c'"),
    ],
)
def test_settings_that_are_not_for_documents_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DataSettings(train="a.txt", **given)


def test_plain_text_without_a_column_for_documents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match="plain text holds documents without labels, for task=text-generation"):
        open_source(DataSettings(train=str(tmp_path / "a.txt")))
    with pytest.raises(DataError, match="plain text has no columns"):
        open_source(settings_of(tmp_path / "a.txt", slice_columns=["topic"]))
    (tmp_path / "a.conll").write_text("a O\n")
    with pytest.raises(DataError, match="and conll holds no documents: use txt, jsonl"):
        open_source(settings_of(tmp_path / "a.conll"))


def test_a_single_file_of_plain_text_is_one_document_and_too_few(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n\nthree\n\nfour")
    said = "there are 1 training documents, and training and validation and test need one each: add documents, or give "
    with pytest.raises(DataError, match=f"{said}.*or of plain text.*data.document_end='blank line'"):
        prepared(settings_of(tmp_path / "a.txt"), tmp_path / "data")
    made = prepared(settings_of(tmp_path / "a.txt", document_end="blank line"), tmp_path / "data")
    assert sum(made.rows.values()) == 4
    for name in ("b", "c"):
        (tmp_path / f"{name}.txt").write_text(name)
    given = {"validation": str(tmp_path / "b.txt"), "test": str(tmp_path / "c.txt")}
    assert prepared(settings_of(tmp_path / "a.txt", **given), tmp_path / "data").rows["train"] == 1


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"distill": {"augment": 1}}, "distill.augment is 1 but task is 'text-generation'"),
        ({"prune": {"vocabulary": "seen"}}, "prune.vocabulary is 'seen' but task is 'text-generation'"),
        ({"evaluate": {"robustness": ["typos"]}}, r"evaluate.robustness is \['typos'\] but task is 'text-generation'"),
        ({"gate": {"metrics": ["f1"]}}, "take some of perplexity, bits_per_byte, agreement"),
        ({"data": {"train": "a"}}, "task is 'text-generation' but data.document_column is empty"),
    ],
)
def test_a_recipe_for_documents_says_what_it_cannot_ask_for(section: dict[str, Any], said: str) -> None:
    tree: dict[str, Any] = {
        "task": "text-generation",
        "data": {"train": "a", "document_column": "text"},
        "model": {"source": "decoder"},
    }
    with pytest.raises(RecipeError, match=said):
        parse_recipe(tree | section)
