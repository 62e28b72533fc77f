"""CoNLL files: sentences out of lines, and what is wrong with those that cannot be used."""

import gzip
from pathlib import Path

import pytest

from hone.configs.data import DataSettings
from hone.tasks.data.files import FileSource
from hone.tasks.data.rows import NOTICES, UNUSABLE, BadRowLog
from hone.tasks.errors import DataError

GOOD = "EU B-ORG\nrejects O\n\nPeter B-PER\nBlackburn I-PER\n"


def read(place: Path, text: str | bytes, **settings: object) -> tuple[list[tuple], dict[str, list[str]]]:
    """Line, words and tags of each sentence, and the places of each kind of bad row."""
    if not place.suffix:
        place = place / "a.conll"
    place.write_bytes(text.encode() if isinstance(text, str) else text)
    return opened(DataSettings(train=str(place), tokens_column="tokens", **settings))


def opened(settings: DataSettings) -> tuple[list[tuple], dict[str, list[str]]]:
    source = FileSource(settings)
    bad = BadRowLog(source.locate)
    rows = [(row.line, row.text, row.label) for row in source.rows("train", bad)]
    return rows, {kind.kind: kind.lines for kind in bad.contracts()}


EXPECTED = [(1, ["EU", "rejects"], ["B-ORG", "O"]), (4, ["Peter", "Blackburn"], ["B-PER", "I-PER"])]


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "\n",
        (GOOD + "\n").replace(" ", "\t"),
        (GOOD + "\n").replace("\n", "\r\n"),
        "\ufeff" + GOOD + "\n\n\n",
        GOOD.replace("\n\n", "\n \t\n") + "\t\n",
        GOOD.replace(" ", " x _ ") + "\n",
        GOOD.replace(" ", "   ") + "\n",
    ],
)
def test_a_blank_line_ends_a_sentence_and_columns_are_the_first_and_the_last(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (EXPECTED, {})


def test_columns_that_are_named_may_stand_anywhere(tmp_path: Path) -> None:
    text = "1 EU B-ORG _\n2 rejects O _\n\n"
    rows, bad = read(tmp_path, text, columns=["id", "tokens", "tags", "more"])
    assert rows == [(1, ["EU", "rejects"], ["B-ORG", "O"])]
    assert not bad
    with pytest.raises(DataError, match=r"most lines have 4 columns, and data.columns names 2 \(tokens, tags\)"):
        read(tmp_path, text, columns=["tokens", "tags"])


def test_documents_and_comments_are_no_words(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O\n\n# id 7 domain=en\nEU x O\n-DOCSTART- -X- O\n\n# x O\n# x B-a\n\n"
    assert read(tmp_path, text) == ([(4, ["EU"], ["O"]), (7, ["#", "#"], ["O", "B-a"])], {})


def test_words_between_tabs_may_hold_blanks(tmp_path: Path) -> None:
    rows, bad = read(tmp_path, "New York\tB-LOC\na\u00a0b\tO\n\n")
    assert rows == [(1, ["New York", "a\u00a0b"], ["B-LOC", "O"])]
    assert not bad


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"alone", "wrong_field_count"),
        (b"a\tb\tO", "wrong_field_count"),
        (b"with O", "mixed_separators"),
        (b"broken \xff\tO", "undecodable"),
        (b"\tO", "empty_text"),
    ],
)
def test_a_faulty_line_costs_its_sentence_and_is_counted_once(tmp_path: Path, line: bytes, kind: str) -> None:
    before, after = b"EU\tB-ORG\n\nA\tO\n", b"\nand\nno\n\nPeter\tB-PER\nof\tO\n\n"
    rows, bad = read(tmp_path, before + line + after)
    assert rows == [(1, ["EU"], ["B-ORG"]), (8, ["Peter", "of"], ["B-PER", "O"])]
    assert bad == {kind: ["train:4"]}
    assert kind in UNUSABLE


def test_a_tab_among_blanks_is_mixed_too(tmp_path: Path) -> None:
    rows, bad = read(tmp_path, "EU B-ORG\nof O\n\nPeter\tB-PER\n\n")
    assert len(rows) == 1
    assert bad == {"mixed_separators": ["train:4"]}


def test_empty_sentences_and_a_missing_last_blank_line_are_told_and_cost_nothing(tmp_path: Path) -> None:
    rows, bad = read(tmp_path, "EU O\n\n\n \nPeter O\n\nof O")
    assert [row[0] for row in rows] == [1, 5, 7]
    assert bad == {"empty_sentence": ["train:3", "train:4"], "no_final_blank_line": ["train:7"]}
    assert bad.keys() <= NOTICES.keys()


def test_the_first_ten_places_of_a_kind_are_kept(tmp_path: Path) -> None:
    _rows, bad = read(tmp_path, "a O\n\n" * 30 + "alone\n\n" * 25)
    assert bad == {"wrong_field_count": [f"train:{61 + 2 * place}" for place in range(10)]}


def test_packed_files_and_folders_and_other_encodings_are_read_as_of_other_formats(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "a.conll.gz").write_bytes(gzip.compress(b"EU O\n\nalone\n\nto O\n\n"))
    (folder / "b.conll").write_text("Peter O\n\nalone\n\n")
    rows, bad = opened(DataSettings(train=str(folder), tokens_column="tokens"))
    assert [row[1] for row in rows] == [["EU"], ["to"], ["Peter"]]
    assert bad == {"wrong_field_count": ["train:a.conll.gz:3", "train:b.conll:3"]}
    assert read(tmp_path / "c.bio", "Köln O\n\n".encode("cp1252"), encoding="cp1252")[0] == [(1, ["Köln"], ["O"])]
    assert read(tmp_path / "d.txt", "Köln O\n\n".encode("utf-16"), format="conll")[0] == [(1, ["Köln"], ["O"])]


def test_what_cannot_be_conll_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="most lines have one column, 'alone'"):
        read(tmp_path, "alone\nalone\n\n")
    with pytest.raises(DataError, match=r"a CoNLL file holds words with tags: set data\.tokens_column=tokens"):
        FileSource(DataSettings(train=str(tmp_path / "a.conll")))
    with pytest.raises(DataError, match="CoNLL has columns of words alone"):
        read(tmp_path, GOOD, slice_columns=["place"])
    with pytest.raises(DataError, match="csv holds no lists of words: use jsonl, json, parquet, conll"):
        read(tmp_path / "a.csv", "tokens,tags\n")
    with pytest.raises(ValueError, match=r"data\.format is 'conll' but data.tokens_column is empty"):
        DataSettings(train="x", format="conll")
    with pytest.raises(ValueError, match=r"data\.strip_punctuation is True, which is for texts"):
        DataSettings(train="x", tokens_column="tokens", strip_punctuation=True)
