"""A model that tags words answers sentences with their entities: here, in a bare process and behind MLflow."""

import ast
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hone.tasks.errors import MeasurementError
from hone.tasks.model.runtime.model_under_test import registered
from hone.tasks.model.runtime.predict import predict
from hone.tasks.model.text import Rows
from hone.tasks.objectives.ragged import Ragged
from hone.tasks.probe import worker
from hone.tasks.probe.golden import read_golden, write_golden
from hone.tasks.probe.probe import SENTENCES, probe
from hone.tasks.register import serving
from tests.probe.served_tagger import LABELS, tagger, write_served_tagger

WORDS = [["Ann", "Lee", "left", "Rome", "."], ["left", "."], ["maybe"], ["Ann", "Lee."], ["Ann", "left"] * 9]
ROWS = Rows([" ".join(words) for words in WORDS], None, np.full(len(WORDS), -1, np.int64), tokens=WORDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_served_tagger(tmp_path / "model")


@pytest.fixture
def golden(folder: Path, tmp_path: Path) -> Path:
    write_golden(tmp_path / "golden.json", ROWS, ask(folder), LABELS, "token-classification")
    return tmp_path / "golden.json"


def ask(folder: Path) -> Ragged:
    """What the evaluation gets, a window at a time."""
    found = predict(registered(folder), ROWS, max_length=0, batch_size=1, providers=["cpu"], threads=1)
    assert isinstance(found, Ragged)
    return found


def found_in(answer: list[Any]) -> list[tuple[Any, ...]]:
    return [(one["start"], one["end"], one["text"], one["type"]) for one in answer]


def test_entities_are_found_in_a_text_and_in_a_list_of_words(folder: Path) -> None:
    text, words, nothing, empty = tagger(folder).answers(["(Ann  Lee left Rome.)", WORDS[0], "left", ""])
    assert found_in(text) == [(1, 9, "Ann  Lee", "person"), (15, 19, "Rome", "place")]
    assert found_in(words) == [(0, 7, "Ann Lee", "person"), (13, 17, "Rome", "place")]
    of = [np.exp(first) / (np.exp(first) + 4) for first in (3, 2, 5)]
    assert [one["score"] for one in words] == pytest.approx([(of[0] + of[1]) / 2, of[2]], abs=1e-6)
    assert nothing == empty == []
    assert tagger(folder).answers([]) == []


def test_a_sentence_longer_than_the_model_reads_is_answered_to_its_end(folder: Path) -> None:
    (found,) = tagger(folder).answers([WORDS[4]])
    assert [one["start"] for one in found] == [9 * place for place in range(9)]


@pytest.mark.parametrize(("row", "seen"), [(3, "int"), ([1], "list"), (None, "NoneType")])
def test_what_is_neither_a_text_nor_words_is_refused(folder: Path, row: Any, seen: str) -> None:
    with pytest.raises(ValueError, match=f"row 1 holds {seen} where a text or a list of words is asked for"):
        tagger(folder).answers(["fine", row])


def test_golden_requests_are_texts_where_they_are_split_as_the_data_is(golden: Path) -> None:
    asked = read_golden(golden)
    assert asked.requests == [
        {"text": "Ann Lee left Rome ."}, {"text": "left ."}, {"tokens": ["Ann", "Lee."]}, {"text": ROWS.texts[4]},
    ]  # fmt: skip  # `maybe` is so near two tags that another machine may choose the other
    assert asked.rows[2] == ["Ann", "Lee."]
    assert asked.spans is not None
    assert found_in(asked.spans[0]) == [(0, 7, "Ann Lee", "person"), (13, 17, "Rome", "place")]


def test_a_bare_process_answers_every_sentence(golden: Path, folder: Path) -> None:
    found = probe(folder, golden)
    assert (found.requests, found.answered, found.error) == (4, 4, "")
    assert found.max_abs_difference < 1e-6
    write_served_tagger(folder, seed=1)
    other = probe(folder, golden)
    assert other.error == ""
    assert other.answered < other.requests


def test_a_model_that_answers_with_nan_has_no_golden_requests(folder: Path, tmp_path: Path) -> None:
    logits = ask(folder)
    logits.values[-1, 0] = np.nan
    with pytest.raises(MeasurementError, match="answers golden request 4 with nan"):
        write_golden(tmp_path / "golden.json", ROWS, logits, LABELS, "token-classification")


def test_entities_are_held_against_the_expected_ones() -> None:
    one = {"start": 0, "end": 3, "text": "Ann", "type": "person", "score": 0.9}
    assert worker.judge_spans([one | {"score": 0.5}], [one]) == {
        "max_abs_difference": pytest.approx(0.4),
        "label_expected": True,
    }
    nothing = {"max_abs_difference": 1.0, "label_expected": False}
    wrong = [[], [one, one], [one | {"type": "place"}], [one | {"end": 4}], [one | {"score": float("nan")}], {"a": 1}]
    assert [worker.judge_spans(found, [one]) for found in wrong] == [nothing] * len(wrong)
    assert worker.judge_spans([], []) == {"max_abs_difference": 0.0, "label_expected": True}


def test_mlflow_serves_it_from_the_files_alone(folder: Path) -> None:
    from hone.tasks.register import serving_sentences

    files = {name: str(path) for name, path in SENTENCES.items()}
    context = SimpleNamespace(artifacts=files | {"model": str(folder)}, model_config={"session": {}})
    model = serving_sentences.SentenceTagger()
    model.load_context(context)
    asked = ["Ann left", ["Rome"]]
    assert model.predict(context, asked) == tagger(folder).answers(asked)
    assert set(serving_sentences.FILES) == set(SENTENCES)


def test_the_served_files_need_what_their_requirements_name_and_nothing_of_hone() -> None:
    code, files = serving.served_by("token-classification")
    imported: set[str] = set()
    for file in (code, *files.values()):
        tree = ast.parse("\n".join(_without_type_checking(file)))
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in imported} - sys.stdlib_module_names
    assert foreign == {
        line.split("==")[0].removesuffix("-gpu") for line in serving.requirements("token-classification")
    }


def _without_type_checking(file: Path) -> list[str]:
    tree = ast.parse(file.read_text())
    kept = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    return [ast.unparse(node) for node in kept]


def test_golden_requests_of_sentences_are_read_back(golden: Path) -> None:
    assert json.loads(golden.read_text())["probabilities"] == []
    assert read_golden(golden).labels == LABELS


def test_hone_predict_answers_lines_with_their_entities(folder: Path, tmp_path: Path) -> None:
    from hone.flows.predict import run_predict

    (tmp_path / "asked.txt").write_text("Ann Lee left.\n\nRome\n")
    out = io.StringIO()
    assert run_predict(str(folder), str(tmp_path / "asked.txt"), "", str(tmp_path / "storage"), out) == "DONE"
    first, empty, last = (json.loads(line) for line in out.getvalue().splitlines())
    assert found_in(first) == [(0, 7, "Ann Lee", "person")]
    assert (empty, found_in(last)) == ([], [(0, 4, "Rome", "place")])
