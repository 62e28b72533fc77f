"""Labels: values to ids and names."""

import pytest

from configs.data import DataSettings
from tasks.data.clean import collect
from tasks.data.labels import name_labels, number_labels, sorted_values
from tasks.data.rows import BadRowLog, RawRow
from tasks.errors import DataError


def test_whole_numbers_sort_as_numbers_and_anything_else_as_text() -> None:
    assert sorted_values(["10", "9", "-1", "0"]) == ["-1", "0", "9", "10"]
    assert sorted_values(["10", "9", "b", "a"]) == ["10", "9", "a", "b"]


def test_names_are_those_of_the_recipe_else_of_the_source_else_the_values() -> None:
    assert name_labels(["0", "1"], ["bad", "good"], {"0": "x", "1": "y"}) == ["bad", "good"]
    assert name_labels(["0", "2"], [], {"0": "x", "1": "y", "2": "z"}) == ["x", "z"]
    assert name_labels(["0", "1"], [], {}) == ["0", "1"]


def test_a_name_too_few_lists_the_values_seen() -> None:
    with pytest.raises(DataError, match=r"has 2 names \(a, b\), and the training split 3 label values \(0, 1, 2\)"):
        name_labels(["0", "1", "2"], ["a", "b"], {})


def test_a_name_for_two_values_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.label_names: a names several label values"):
        name_labels(["0", "1"], ["a", "a"], {})


def test_one_label_is_no_classification() -> None:
    with pytest.raises(DataError, match=r"the training split has 1 labels \(a\), and a classifier needs at least 2"):
        name_labels(["a"], [], {})


def test_labels_that_training_lacks_are_left_out_with_their_lines() -> None:
    bad = BadRowLog(lambda split, line: f"{split}:{line}")
    rows = [RawRow(1, "t1", None, "b"), RawRow(2, "t2", None, "z"), RawRow(3, "t3", None, "a")]
    collected = collect(rows, "test", DataSettings(train="a.csv"), bad)
    table = number_labels(collected, "test", ["a", "b"], bad)
    assert table.select(["text", "label"]).to_pydict() == {"text": ["t1", "t3"], "label": [1, 0]}
    (kind,) = bad.contracts()
    assert (kind.kind, kind.count, kind.lines) == ("unknown_label", 1, ["test:2"])
