"""A model that answers questions does so here, in a bare process, behind MLflow and from the command line."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hone.flows.predict import run_predict
from hone.tasks.model.checkpoints.config_file import add_to_config
from hone.tasks.model.runtime.delivered import open_answerer
from hone.tasks.model.runtime.model_under_test import registered
from hone.tasks.model.runtime.predict import predict
from hone.tasks.objectives.question_answering.answering import margins
from hone.tasks.probe.golden import read_golden, write_golden
from hone.tasks.probe.probe import QUESTIONS, probe
from hone.tasks.register import serving
from tests.export.answerers import LABELS, export_answerer, write_answerer, write_questions

ROWS = write_questions(12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It leaves about half of the questions without an answer."""
    place = tmp_path_factory.mktemp("served")
    exported = export_answerer(write_answerer(place / "checkpoint"), place / "model")
    add_to_config(exported, {"no_answer_threshold": float(np.median(margins(ask(exported))))})
    return exported


@pytest.fixture(scope="module")
def golden(folder: Path) -> Path:
    path = folder.parent / "golden.json"
    write_golden(path, ROWS, ask(folder), LABELS, "question-answering")
    return path


def ask(folder: Path) -> Any:
    """What the evaluation gets, a window at a time."""
    return predict(registered(folder), ROWS, max_length=0, batch_size=1, providers=["cpu"], threads=1)


def test_the_served_model_answers_as_it_was_evaluated_with_a_part_of_the_context(folder: Path) -> None:
    served = open_answerer(folder)
    assert np.array_equal(served.numbers(ROWS.texts, ROWS.pairs, batch_size=1), ask(folder))
    found = served.answers(ROWS.texts, ROWS.pairs)
    assert {bool(one["answer"]) for one in found} == {True, False}
    for one, context in zip(found, ROWS.pairs, strict=True):
        assert one["answer"] == context[one["start"] : one["end"]]
        assert 0 <= one["score"] <= 1
    assert served.answers([], []) == []


def test_what_has_no_context_or_is_no_text_is_refused(folder: Path) -> None:
    served = open_answerer(folder)
    with pytest.raises(ValueError, match="give each question its context"):
        served.answers(["a film"])
    with pytest.raises(ValueError, match="row 1 holds int where the text of a context is asked for"):
        served.answers(["a film", "a film"], ["a plot", 3])


def test_golden_requests_are_answered_in_a_fresh_process(folder: Path, golden: Path) -> None:
    asked = read_golden(golden)
    assert asked.rows[0] == {"question": ROWS.texts[0], "context": ROWS.pairs[0]}
    found = probe(folder, golden)
    assert (found.error, found.answered) == ("", found.requests)
    assert found.requests > len(ROWS) // 2
    assert found.max_abs_difference < 1e-5


def test_a_golden_request_that_is_answered_otherwise_is_noticed(folder: Path, golden: Path, tmp_path: Path) -> None:
    told = json.loads(golden.read_text())
    told["answers"][0]["start"] += 1
    told["answers"][1]["score"] += 0.01
    (tmp_path / "golden.json").write_text(json.dumps(told))
    found = probe(folder, tmp_path / "golden.json")
    assert found.answered == found.requests - 2
    assert found.max_abs_difference == 1.0


def test_mlflows_file_answers_the_same(folder: Path) -> None:
    from hone.tasks.register import serving_questions

    code, files = serving.served_by("question-answering")
    assert (code.name, files) == ("serving_questions.py", QUESTIONS)
    model = serving_questions.QuestionAnswerer()
    artifacts = {"model": str(folder), **{name: str(path) for name, path in files.items()}}
    model.load_context(SimpleNamespace(artifacts=artifacts, model_config={"session": {}}))
    asked = [{"question": ROWS.texts[0], "context": ROWS.pairs[0]}]
    assert model.predict(None, asked) == open_answerer(folder).answers(ROWS.texts[:1], ROWS.pairs[:1])


def test_hone_predict_answers_the_questions_of_a_file(folder: Path, tmp_path: Path) -> None:
    asked = list(zip(ROWS.texts, ROWS.pairs, strict=True))
    lines = [json.dumps({"question": question, "context": context}) for question, context in asked]
    (tmp_path / "asked.jsonl").write_text("\n".join(lines))
    paragraphs = [{"context": context, "qas": [{"question": question}]} for question, context in asked]
    (tmp_path / "asked.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    for name in ("asked.jsonl", "asked.json"):
        out = io.StringIO()
        assert run_predict(str(folder), str(tmp_path / name), "", str(tmp_path), out) == "DONE"
        found = [json.loads(line) for line in out.getvalue().splitlines()]
        assert found == open_answerer(folder).answers(ROWS.texts, ROWS.pairs)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"questions": []}', "asked.json: not as SQuAD has it"),
        ("[1]", "asked.json: not as SQuAD has it"),
        ("{", "asked.json: it cannot be read as squad"),
        ('{"data": [{"paragraphs": [{"context": "a", "qas": [{}]}]}]}', "record 1: no text in column 'question'"),
        (
            '{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": null}]}]}]}',
            "record 1: no text in column 'question'",
        ),
        (
            '{"data": [{"paragraphs": [{"context": 3, "qas": [{"question": "a"}]}]}]}',
            "record 1: no text in column 'context'",
        ),
    ],
)
def test_json_that_is_not_squads_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    (tmp_path / "asked.json").write_text(content)
    assert run_predict(str(folder), str(tmp_path / "asked.json"), "", str(tmp_path), io.StringIO()) == "INVALID"
    assert said in capsys.readouterr().err
