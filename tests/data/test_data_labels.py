"""Labels: values to ids and names."""

import pytest

from hone.configs.data import DataSettings
from hone.tasks.data.clean import collect
from hone.tasks.data.labels import name_labels, number_labels
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.errors import DataError
from hone.tasks.label_value import in_order, one_spelling


def test_numbers_sort_by_their_size_and_anything_else_after_them_as_text() -> None:
    assert in_order(["10", "9", "-1", "0"]) == ["-1", "0", "9", "10"]
    assert in_order(["10", "9.5", "-0.5", "b", "a", "-10", "2"]) == ["-10", "-0.5", "2", "9.5", "10", "a", "b"]
    assert in_order(["11", "09", "10", "08"]) == ["08", "09", "10", "11"]


@pytest.mark.parametrize("value", ["1.0", "1.00", "1.", "+1", "1", "1e0", "10E-1", "+1.0e+00"])
def test_a_whole_number_has_one_spelling(value: str) -> None:
    assert one_spelling(value) == "1"


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("-0.0", "0"),
        ("-2.0", "-2"),
        ("1e3", "1000"),
        ("1e-3", "0.001"),
        ("2.5e+00", "2.5"),
    ],
)
def test_so_has_any_other_number(value: str, spelling: str) -> None:
    assert one_spelling(value) == spelling


@pytest.mark.parametrize("value", ["007", "00", "1,000", "1_000", "0x1", "1.0.0", "1e9999", "one", "", "+", ".", "١"])
def test_what_is_no_number_stays_as_it_is(value: str) -> None:
    assert one_spelling(value) == value


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
    assert kind.detail == "test has 'z' (1), and training 'a', 'b'"
