"""Cleaning: one form for equal text, one name for each fault."""

import unicodedata
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hone.configs.data import DataSettings
from hone.tasks.data.clean import ROWS_AT_ONCE, Collected, Unusable, as_text, collect, normalizer
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.errors import DataError

SETTINGS = DataSettings(train="a.csv")


def gather(rows: Iterable[RawRow], settings: DataSettings = SETTINGS) -> tuple[Collected, dict[str, list[str]]]:
    bad = BadRowLog(lambda split, line: f"{split}:{line}")
    collected = collect(rows, "train", settings, bad)
    return collected, {kind.kind: kind.lines for kind in bad.contracts()}


def test_text_becomes_nfc_with_single_spaces() -> None:
    normalize = normalizer(lowercase=False, strip_punctuation=False)
    assert normalize(" Cafe\u0301 \t au\u00a0lait,\n s'il vous  plaît ") == "Café au lait, s'il vous plaît"


def test_lower_casing_and_punctuation_are_optional() -> None:
    assert normalizer(True, False)("Ärger, ÜBER!") == "ärger, über!"
    assert normalizer(False, True)("«Well»—it's $5 (C++)…") == "Well it s 5 C"


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("strip_punctuation", [False, True])
@given(text=st.text())
@settings(max_examples=100, deadline=None)
def test_normalising_twice_changes_nothing(lowercase: bool, strip_punctuation: bool, text: str) -> None:
    normalize = normalizer(lowercase, strip_punctuation)
    once = normalize(text)
    assert normalize(once) == once
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize("value", ["1", b"1", 1, 1.0, Decimal("1.00")])
def test_a_value_is_the_same_text_from_every_format(value: object) -> None:
    assert as_text(value) == "1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (0.5, "0.5"),
        (True, "True"),
        (1e300, f"1{'0' * 300}"),
        (Decimal("1.50"), "1.5"),
        (date(2024, 5, 1), "2024-05-01"),
    ],
)
def test_absent_values_are_empty_and_numbers_keep_their_digits(value: object, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "kind"), [(b"\xff", "undecodable"), ("\ud83d", "undecodable"), (["a"], "wrong_type"), ({}, "wrong_type")]
)
def test_a_value_that_is_no_text_is_unusable(value: object, kind: str) -> None:
    with pytest.raises(Unusable, match=kind):
        as_text(value)


def test_usable_rows_are_gathered_and_the_others_named_by_kind_and_line() -> None:
    rows = [
        RawRow(2, " one ", None, " a "),
        RawRow(3, "  ", None, "a"),
        RawRow(4, "two", None, ""),
        RawRow(5, None, None, "a"),
        RawRow(6, "\ud800", None, "a"),
        RawRow(7, ["x"], None, "a"),
        RawRow(8, "three", None, "b"),
        RawRow(9, "four", None, "a"),
        RawRow(10, "five", None, float("nan")),
    ]
    collected, bad = gather(rows)
    assert collected.table.select(["text", "label", "line"]).to_pydict() == {
        "text": ["one", "three", "four"],
        "label": [0, 1, 0],
        "line": [2, 8, 9],
    }
    assert collected.values == ["a", "b"]
    assert bad == {
        "empty_text": ["train:3", "train:5"],
        "missing_label": ["train:4", "train:10"],
        "undecodable": ["train:6"],
        "wrong_type": ["train:7"],
    }


def test_a_text_of_punctuation_alone_is_empty_once_it_is_stripped() -> None:
    settings = DataSettings(train="a.csv", strip_punctuation=True)
    assert gather([RawRow(1, "?!", None, "a")], settings)[1] == {"empty_text": ["train:1"]}


def test_both_texts_of_a_pair_are_needed() -> None:
    settings = DataSettings(train="a.csv", pair_column="pair")
    collected, bad = gather(
        [RawRow(1, "one", "two", "a"), RawRow(2, "one", "", "a"), RawRow(3, "", "two", "a")], settings
    )
    assert collected.table["pair"].to_pylist() == ["two"]
    assert bad == {"empty_text": ["train:2", "train:3"]}


def test_every_row_arrives_whatever_the_size_of_the_pieces() -> None:
    count = 2 * ROWS_AT_ONCE + 1
    collected, _bad = gather(RawRow(line, f"text {line}", None, str(line % 3)) for line in range(count))
    assert collected.table["line"].to_pylist() == list(range(count))
    assert [collected.values[label] for label in collected.table["label"].to_pylist()[-3:]] == ["0", "1", "2"]


def test_no_rows_make_an_empty_table() -> None:
    assert len(gather([])[0].table) == 0


def test_only_the_first_ten_lines_of_a_kind_are_kept_and_all_are_counted() -> None:
    bad = BadRowLog(lambda split, line: f"{split}:{line}")
    bad.add_all("empty_text", "test", range(5, 105))
    (kind,) = bad.contracts()
    assert kind.count == 100
    assert kind.lines == [f"test:{line}" for line in range(5, 15)]


def test_too_many_bad_rows_stop_with_every_kind_and_its_lines() -> None:
    bad = BadRowLog(lambda split, line: f"{split}:{line}")
    bad.add("undecodable", "test", 4)
    bad.add_all("empty_text", "train", [2, 7])
    with pytest.raises(DataError) as raised:
        bad.check(rows=100, max_bad_fraction=0.029)
    assert str(raised.value) == (
        "3 of 100 rows (3.00%) are unusable, and data.max_bad_fraction allows 2.90%:\n"
        "  undecodable (bytes that are no text in the file's encoding): 1, first at test:4\n"
        "  empty_text (no text): 2, first at train:2, train:7\n"
        "mend those lines, or raise data.max_bad_fraction"
    )


def test_exactly_the_allowed_share_of_bad_rows_passes() -> None:
    bad = BadRowLog(lambda split, line: f"{split}:{line}")
    bad.add_all("empty_text", "train", range(29))
    bad.check(rows=100, max_bad_fraction=0.29)  # where 0.29 * 100 < 29


def test_notices_are_not_bad_rows() -> None:
    bad = BadRowLog(lambda split, line: f"{split}:{line}")
    bad.add_all("duplicate_text", "train", range(50))
    bad.add_all("split_overlap", "train", range(50))
    bad.check(rows=100, max_bad_fraction=0.0)
    assert bad.unusable == 0
