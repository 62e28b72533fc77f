"""The docstring corpus, on packages made for the test and on a real one."""

import sys
from pathlib import Path

import pytest

from hone.configs.data import DataSettings
from hone.tasks.data.docstrings import DocstringSource, first_paragraph
from hone.tasks.data.rows import BadRowLog
from hone.tasks.errors import DataError

MODULE = '''"""The module says what it is for
on two lines.

And more, which is another paragraph.
"""
raise RuntimeError("importing me is a fault of the test")


class Thing:
    """A class that has a docstring."""

    def method(self):
        """Too short."""

        def inner():
            "A nested function is documented too."

    async def later(self):
        """An asynchronous method is documented too.\\n\\nMore."""


if True:
    def conditional():
        """Defined only under a condition."""
else:
    try:
        pass
    except ValueError:
        def handler():
            """Defined only in a handler."""

with_lambda = lambda x: [y for y in x]
'''


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two importable packages, `first_hone_sample` and `second_hone_sample`."""
    first, second = tmp_path / "first_hone_sample", tmp_path / "second_hone_sample"
    for folder in (first / "sub", first / "tests", first / "externals", second):
        folder.mkdir(parents=True)
    (first / "__init__.py").write_text(MODULE)
    (first / "sub" / "deep.py").write_text('"""Deep inside, and after the others."""\n')
    (first / "tests" / "test_it.py").write_text('"""Tests are not documentation of it."""\n')
    (first / "externals" / "other.py").write_text('"""Another library copied into this one."""\n')
    (first / "newer.py").write_text("def f[T](x: T): ...\nthis is no python\n")
    (second / "__init__.py").write_bytes(
        b'# -*- coding: latin-1 -*-\n"""Un caf\xe9 dans une autre biblioth\xe8que."""\n'
    )
    (tmp_path / "single_hone_sample.py").write_text('"""A library that is a single module."""\n"\\d"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def settings(*libraries: str) -> DataSettings:
    return DataSettings(source="docstrings", libraries=list(libraries))


def test_first_paragraphs_come_in_order_of_file_and_line_and_nothing_is_imported(packages: Path) -> None:
    source = DocstringSource(settings("second_hone_sample", "first_hone_sample", "single_hone_sample"))
    bad = BadRowLog(source.locate)
    rows = list(source.rows("train", bad))
    assert [(row.label, row.text, source.locate("train", row.line)) for row in rows] == [
        ("second_hone_sample", "Un café dans une autre bibliothèque.", "second_hone_sample/__init__.py:2"),
        ("first_hone_sample", "The module says what it is for on two lines.", "first_hone_sample/__init__.py:1"),
        ("first_hone_sample", "A class that has a docstring.", "first_hone_sample/__init__.py:10"),
        ("first_hone_sample", "A nested function is documented too.", "first_hone_sample/__init__.py:16"),
        ("first_hone_sample", "An asynchronous method is documented too.", "first_hone_sample/__init__.py:19"),
        ("first_hone_sample", "Defined only under a condition.", "first_hone_sample/__init__.py:24"),
        ("first_hone_sample", "Defined only in a handler.", "first_hone_sample/__init__.py:30"),
        ("first_hone_sample", "Deep inside, and after the others.", "first_hone_sample/sub/deep.py:1"),
        ("single_hone_sample", "A library that is a single module.", "single_hone_sample.py:1"),
    ]
    assert "first_hone_sample" not in sys.modules


def test_a_file_that_python_cannot_parse_is_reported(packages: Path) -> None:
    source = DocstringSource(settings("first_hone_sample", "second_hone_sample"))
    bad = BadRowLog(source.locate)
    list(source.rows("train", bad))
    (kind,) = bad.contracts()
    assert (kind.kind, kind.count, kind.lines) == ("unreadable_file", 1, ["first_hone_sample/newer.py"])


def test_the_digest_follows_the_source_of_each_library(packages: Path) -> None:
    chosen = settings("first_hone_sample", "second_hone_sample")
    before = DocstringSource(chosen).digests()
    (packages / "first_hone_sample" / "sub" / "deep.py").write_text('"""Changed, and so is the digest."""\n')
    after = DocstringSource(chosen).digests()
    assert before["first_hone_sample source"] != after["first_hone_sample source"]
    assert before["second_hone_sample source"] == after["second_hone_sample source"]


def test_a_paragraph_ends_at_the_first_empty_line() -> None:
    assert first_paragraph("\n  One\n  two.\n   \n  Three.\n") == "One two."
    assert first_paragraph("") == ""


def test_every_library_without_python_source_is_named() -> None:
    with pytest.raises(DataError, match=r"no Python source of no_such_library_here, sys, os\.path on this machine"):
        DocstringSource(settings("json", "no_such_library_here", "sys", "os.path"))


def test_a_real_library_gives_hundreds_of_rows_within_the_bounds_of_length() -> None:
    source = DocstringSource(settings("networkx", "numpy"))
    rows = list(source.rows("train", BadRowLog(source.locate)))
    assert all(20 <= len(str(row.text)) <= 300 for row in rows)
    counts = {label: sum(row.label == label for row in rows) for label in ("networkx", "numpy")}
    assert min(counts.values()) > 1000, counts  # 1868 and 1864 in networkx 3.6 and numpy 2.4
