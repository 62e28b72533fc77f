"""Questions about parameters, out of docstrings made for the test and of a real library."""

import sys
from pathlib import Path

import pytest

from hone.configs.data import DataSettings
from hone.tasks.data.docstrings import DocstringSource
from hone.tasks.data.parameters import LONGEST, contexts, questions
from hone.tasks.data.rows import BadRowLog

DOCSTRING = """Fits it.

Parameters
----------
X : array-like of shape (n_samples, n_features)
    Training data.

    A second paragraph, with default=7 in it.
alpha : float, default=1.0
    How much.
how, why : str
    Two in one are passed over.
mode : {'a', 'b'}, optional
    Which one. Default is 'a'.
copy : bool (default: True)
    Whether it is copied.
size : int
    By default all of them.
rate : default 1e-3
    No type.
**kwargs : dict
    Passed on.

Returns
-------
out : float
    The default of it is 3.
"""


def asked(docstring: str) -> dict[str, list[str]]:
    return {question: [text for text, _start in answers] for question, _context, answers in questions(docstring)}


def test_defaults_and_types_are_asked_of_the_parameters_alone() -> None:
    assert asked(DOCSTRING) == {
        "What is the default of X?": [],
        "What is the type of X?": ["array-like of shape (n_samples, n_features)"],
        "What is the default of alpha?": ["1.0"],
        "What is the type of alpha?": ["float"],
        "What is the default of mode?": ["'a'"],
        "What is the type of mode?": ["{'a', 'b'}"],
        "What is the default of copy?": ["True"],
        "What is the type of copy?": ["bool"],
        "What is the type of size?": ["int"],  # a default is spoken of, and none is told
        "What is the default of rate?": ["1e-3"],
        "What is the default of kwargs?": [],
        "What is the type of kwargs?": ["dict"],
    }


def test_answers_stand_at_their_start_in_contexts_of_whole_parameters() -> None:
    long = DOCSTRING.replace("How much.", "How much. " * 30).replace("Passed on.", "Passed on. " * 40)
    found = list(questions(long))
    for _question, context, answers in found:
        assert len(context) <= LONGEST
        for text, start in answers:
            assert context[start : start + len(text)] == text
    pieces = [(context, [one.name for one, _place in several]) for context, several in contexts(long)]
    assert [names for _context, names in pieces] == [["X", "alpha", "mode", "copy", "size", "rate"], ["kwargs"]]
    assert all(context[place:].startswith(one.text) for context, several in contexts(long) for one, place in several)


@pytest.mark.parametrize("docstring", ["", "No section.", "Parameters\n----------\nnothing here\n    but text\n"])
def test_a_docstring_without_parameters_asks_nothing(docstring: str) -> None:
    assert list(questions(docstring)) == []


def test_a_library_is_a_corpus_of_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "asked_hone_sample"
    package.mkdir()
    (package / "__init__.py").write_text(f'def fit():\n    """{DOCSTRING}"""\n')
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    settings = DataSettings(source="docstrings", libraries=["asked_hone_sample"], context_column="context")
    source = DocstringSource(settings)
    rows = list(source.rows("train", BadRowLog(source.locate)))
    assert len(rows) == len(asked(DOCSTRING))
    assert rows[2][1:4] == ("What is the default of alpha?", rows[0].pair, [{"text": "1.0", "answer_start": 86}])
    assert source.locate("train", 3) == "asked_hone_sample/__init__.py:2"
    assert source.read_digests() == source.digests()
