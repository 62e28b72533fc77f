"""Several labels and numbers as data have them: what is read, what is refused with its line, and where rows go."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.configs.data import DataSettings
from hone.configs.recipe import RecipeError, parse_recipe
from hone.tasks.data.prepare import Prepared, prepare
from hone.tasks.data.preview import preview
from hone.tasks.data.source import open_source
from hone.tasks.errors import DataError
from hone.tasks.model.text import Rows, read_split

LABELS = [["red"], ["red", "blue"], [], ["green", "red"], ["blue"]]


def rows_of(labels: list[Any], count: int = 60) -> list[dict[str, Any]]:
    return [{"text": f"text {place} of {place % 9}", "label": labels[place % len(labels)]} for place in range(count)]


def prepared(folder: Path, file: Path, **settings: Any) -> tuple[Prepared, dict[str, Rows]]:
    data = DataSettings(train=str(file), **settings)
    made = prepare(open_source(data), data, 0, folder / "out")
    return made, {split: read_split(folder / "out", split) for split in ("train", "validation", "test")}


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def flags_by_text(splits: dict[str, Rows]) -> dict[str, list[int]]:
    return {text: own for rows in splits.values() for text, own in zip(rows.texts, rows.labels.tolist(), strict=True)}


def test_lists_of_json_lists_of_parquet_and_separated_text_are_the_same_labels(tmp_path: Path) -> None:
    rows = rows_of(LABELS)
    table = tmp_path / "a.csv"
    table.write_text("text,label\n" + "".join(f"{row['text']},{' | '.join(row['label'])}\n" for row in rows))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = [
        prepared(tmp_path / name, file, labels="several", **settings)
        for name, file, settings in (
            ("json", jsonl(tmp_path / "a.jsonl", rows), {}),
            ("csv", table, {"label_separator": "|"}),
            ("parquet", tmp_path / "a.parquet", {}),
        )
    ]
    assert found[0][0].labels == ["blue", "green", "red"]
    assert len({made.content_digest for made, _splits in found}) == 1
    expected = {
        row["text"]: [int(label in row["label"]) for label in ("blue", "green", "red")] for row in rows
    }  # with rows that have none
    assert all(flags_by_text(splits) == expected for _made, splits in found)
    assert found[0][1]["train"].labels.dtype == np.int64


def test_what_cannot_be_labels_is_left_out_with_its_line_and_the_way_out(tmp_path: Path) -> None:
    bad = [{"text": "no key"}, {"text": "null", "label": None}, {"text": "as text", "label": "['red', 'blue']"},
           {"text": "nested", "label": [["red"]]}, {"text": "blank inside", "label": ["red", " "]}]  # fmt: skip
    file = jsonl(tmp_path / "a.jsonl", [*rows_of(LABELS), *bad])
    with pytest.raises(DataError) as refused:
        prepared(tmp_path, file, labels="several")
    told = str(refused.value)
    assert "list_as_text (a list of labels that was written as text): 1, first at train:63" in told
    assert """train has "['red', 'blue']" (1): write the labels with ',' between them (data.label_separator)""" in told
    assert "missing_label (no label): 3, first at train:61, train:62, train:65" in told
    assert "wrong_type" in told


def test_a_label_that_training_lacks_leaves_its_row_out(tmp_path: Path) -> None:
    other = jsonl(tmp_path / "b.jsonl", [{"text": "another", "label": ["red"]}, {"text": "new", "label": ["red", "x"]}])
    made, splits = prepared(
        tmp_path, jsonl(tmp_path / "a.jsonl", rows_of(LABELS)), labels="several", test=str(other), max_bad_fraction=0.1
    )
    assert splits["test"].texts == ["another"]
    assert [(kind.kind, kind.lines) for kind in made.bad_rows] == [("unknown_label", ["test:2"])]


@pytest.mark.parametrize("kind", ["several", "number"])
def test_rows_that_come_later_move_no_row_from_training_to_the_test(tmp_path: Path, kind: str) -> None:
    labels: list[Any] = LABELS if kind == "several" else [0.5, 1, 2.5, 4]
    few, many = (
        prepared(tmp_path / str(count), jsonl(tmp_path / f"{count}.jsonl", rows_of(labels, count)), labels=kind)[1]
        for count in (80, 400)
    )
    assert set(few["train"].texts) & set(many["test"].texts) == set()
    assert len(few["test"]) > 2
    assert len(many["test"]) == pytest.approx(60, abs=25)


def test_numbers_are_read_as_json_spells_them_and_others_are_refused_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    good = [f"text {place}\t{number}" for place, number in enumerate(["1", "+2.50", "-.5", "1e1", "007", " 3 "] * 10)]
    file.write_text(
        "text\tlabel\n" + "\n".join([*good, "comma\t3,5", "thousand\t1,234.5", "word\thigh", "none\t", "x\tnan"])
    )
    with pytest.raises(DataError) as refused:
        prepared(tmp_path, file, labels="number")
    told = str(refused.value)
    assert "not_a_number (something else where a number is to be predicted): 4, first at train:62" in told
    assert "'3,5' (1)" in told
    assert "write 3.5 and not 3,5, and 1234.5 and not 1,234.5" in told
    assert "missing_label (no label): 1, first at train:65" in told
    file.write_text("text\tlabel\n" + "\n".join(good))
    made, splits = prepared(tmp_path, file, labels="number")
    assert made.labels == ["label"]
    numbers = np.concatenate([rows.labels for rows in splits.values()])
    assert (numbers.dtype, sorted(set(numbers.tolist()))) == (np.float64, [-0.5, 1.0, 2.5, 3.0, 7.0, 10.0])


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([100_000.0, 350_000.0], "standard deviation of 1.25e.05 in the training split.*such as 1e-05 times these"),
        ([0.001, 0.002], "give them in another unit, such as 1000 times"),
        ([3.0], "the numbers of the training split are all 3, and there is nothing to learn"),
    ],
)
def test_numbers_that_no_head_would_come_to_are_refused_with_the_unit_to_take(
    tmp_path: Path, numbers: list[float], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        prepared(tmp_path, jsonl(tmp_path / "a.jsonl", rows_of(numbers)), labels="number")


def test_a_look_tells_counts_of_labels_and_the_range_of_numbers(tmp_path: Path) -> None:
    several = preview(DataSettings(train=str(jsonl(tmp_path / "a.jsonl", rows_of(LABELS))), labels="several"))
    assert several.labels == {"blue": 24, "green": 12, "red": 36}
    assert several.label_ids[0] == [0, 0, 1]
    number = preview(DataSettings(train=str(jsonl(tmp_path / "b.jsonl", rows_of([1, 2.5]))), labels="number"))
    assert (number.range, number.labels, number.label_names) == ((1.0, 2.5), {}, ["label"])
    assert set(number.label_ids) == {1.0, 2.5}


def test_the_rarest_label_is_what_a_cut_of_rows_keeps(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", rows_of([["often"], ["often", "rare"]], 200))
    made, splits = prepared(tmp_path, file, labels="several", max_rows_per_label=20)
    assert sum(made.rows.values()) == 40
    flags = np.concatenate([rows.labels for rows in splits.values()])
    assert flags.sum(axis=0).tolist() == [40, 20]


@pytest.mark.parametrize(
    ("data", "settings", "told"),
    [
        ({"source": "docstrings", "libraries": ["a", "b"], "labels": "several"}, {}, "whose texts have one label"),
        ({"train": "a", "labels": "number", "label_names": ["x"]}, {}, "which has no labels to name"),
        ({"train": "a", "tokens_column": "tokens", "labels": "several"}, {"task": "token-classification"},
         "data.labels is 'several', which is for texts with labels"),
        ({"train": "a", "labels": "number"}, {"gate": {"metrics": ["accuracy"]}},
         "with data.labels 'number': take some of mse, spearman"),
        ({"train": "a", "labels": "several"}, {"gate": {"max_calibration_error": 0.1}}, "set it to null"),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together_are_refused(
    data: dict[str, Any], settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        parse_recipe({"data": data, "model": {"source": "x"}, **settings})
