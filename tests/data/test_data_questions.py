"""Preparation of questions: from SQuAD's JSON and from tables to splits on disk."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.configs.data import DataSettings
from hone.configs.recipe import RecipeError, parse_recipe
from hone.tasks.data.prepare import Prepared, prepare
from hone.tasks.data.questions import collect_questions
from hone.tasks.data.rows import BadRowLog
from hone.tasks.data.source import open_source
from hone.tasks.errors import DataError
from hone.tasks.model.text import Rows, read_split
from tests.objectives.questions import rows_of, write_squad


def run(folder: Path, seed: int = 0, **settings: Any) -> Prepared:
    chosen = DataSettings(context_column="context", **settings)
    return prepare(open_source(chosen), chosen, seed, folder)


def collected(path: Path) -> tuple[list[dict[str, Any]], BadRowLog]:
    """The usable questions of a file, and the record of the others."""
    chosen = DataSettings(context_column="context", train=str(path))
    source = open_source(chosen)
    bad = BadRowLog(source.locate)
    return collect_questions(source.rows("train", bad), "train", chosen, bad).table.to_pylist(), bad


def of(folder: Path) -> list[Rows]:
    return [read_split(folder, split) for split in ("train", "validation", "test")]


def facts(folder: Path) -> list[list[tuple[str, str, list[str]]]]:
    found = []
    for rows in of(folder):
        both = zip(rows.texts, rows.pairs, rows.spans, strict=True)
        found.append([(question, context, [context[a:b] for a, b in spans]) for question, context, spans in both])
    return found


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squad(tmp_path_factory.mktemp("squad") / "all.json", 60)


def test_squads_questions_keep_their_answers_and_those_without_one_are_told_apart(squad: Path, tmp_path: Path) -> None:
    made = run(tmp_path, train=str(squad))
    assert (made.labels, made.has_pairs, made.bad_rows) == (["answer", "no answer"], True, [])
    expected = {(row["question"], row["context"]): [one["text"] for one in row["answers"]] for row in rows_of(squad)}
    found = [row for split in facts(tmp_path) for row in split]
    assert {(question, context): answers for question, context, answers in found} == expected
    for rows in of(tmp_path):
        assert [not spans for spans in rows.spans] == (rows.labels == 1).tolist()
        assert 0 < (rows.labels == 1).sum() < len(rows)


def test_all_questions_about_a_context_are_in_one_split_of_those_split_off(squad: Path, tmp_path: Path) -> None:
    run(tmp_path, train=str(squad))
    train, validation, test = ({context for _q, context, _a in split} for split in facts(tmp_path))
    assert len(train) + len(validation) + len(test) == len(train | validation | test)


@pytest.mark.parametrize("form", ["objects.jsonl", "lists.jsonl", "objects.parquet", "lists.parquet", "table.csv"])
def test_the_same_questions_in_a_table_give_the_same_splits(squad: Path, tmp_path: Path, form: str) -> None:
    rows, columns = rows_of(squad), {}
    for row in rows:
        texts, starts = ([one[key] for one in row["answers"]] for key in ("text", "answer_start"))
        if form.startswith("objects"):
            row["answers"] = {"text": texts, "answer_start": starts}
        elif form.startswith("lists"):
            row["answers"], row["start"] = texts, starts
        else:
            row["answers"], row["start"] = (texts or [""])[0], (starts or [""])[0]
    if not form.startswith("objects"):
        columns = {"start_column": "start"}
    path = tmp_path / form
    if form.endswith("jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form.endswith("parquet"):
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        names = ["question", "context", "answers", "start"]
        lines = [",".join(f'"{row[name]}"' for name in names) for row in rows]
        path.write_text("\n".join([",".join(names), *lines]) + "\n")
    table = run(tmp_path / "table", train=str(path), **columns)
    assert table.content_digest == run(tmp_path / "squad", train=str(squad)).content_digest
    assert facts(tmp_path / "table") == facts(tmp_path / "squad")


def test_faulty_answers_are_counted_by_kind_with_their_rows(tmp_path: Path) -> None:
    context = "The cat sat on the mat."
    answers: list[Any] = [
        {"text": ["cat"], "answer_start": [4]},
        {"text": ["cat"], "answer_start": [5]},  # line 2
        {"text": ["cat"], "answer_start": [-19]},
        {"text": ["cat", "mat"], "answer_start": [4]},  # line 4
        {"text": ["cat"]},
        {"text": ["cat"], "answer_start": ["x"]},
        {"text": [" mat. "], "answer_start": [18]},  # blanks of which the last does not stand there
        {"text": ["the mat", "mat", "mat"], "answer_start": [15, 19, 19]},
        None,
        [],
    ]
    rows = [{"context": context, "question": f"what {place}?", "answers": one} for place, one in enumerate(answers)]
    rows.append({"context": " ", "question": "what?", "answers": []})
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"answer_not_at_start .*: 3, first at train:2, train:3, train:7"):
        run(tmp_path / "none", train=str(path))
    questions, bad = collected(path)
    assert {kind.kind: kind.count for kind in bad.contracts()} == {
        "answer_not_at_start": 3, "starts_mismatch": 1, "missing_start": 1, "wrong_type": 1, "empty_text": 1
    }  # fmt: skip
    spans = [list(zip(row["starts"], row["ends"], strict=True)) for row in questions]
    assert [[context[a:b] for a, b in several] for several in spans] == [["cat"], ["the mat", "mat"], [], []]
    assert [row["label"] for row in questions] == [0, 0, 1, 1]


def test_an_impossible_question_has_no_answer_whatever_is_plausible(tmp_path: Path) -> None:
    asked = {"question": "who?", "is_impossible": True, "answers": [{"text": "x", "answer_start": 99}]}
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "A cat.", "qas": [asked]}]}]}))
    ((row,), bad) = collected(path)
    assert (row["starts"], row["label"], bad.unusable) == ([], 1, 0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not readable as JSON"),
        ("[]", "not as SQuAD has it, but a list"),
        ('{"rows": []}', "not as SQuAD has it, but an object with rows"),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', "with a context and its qas"),
    ],
)
def test_a_file_that_is_no_squad_is_refused(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "all.json").write_text(content)
    with pytest.raises(DataError, match=told):
        run(tmp_path / "none", train=str(tmp_path / "all.json"))


@pytest.mark.parametrize(
    ("task", "data", "told"),
    [
        ("question-answering", {}, "data.context_column is empty: name the column with the text that a question"),
        ("text-classification", {"context_column": "context"}, "or set task=question-answering"),
        ("question-answering", {"context_column": "c", "lowercase": True}, "data.lowercase is True"),
        ("question-answering", {"context_column": "c", "labels": "several"}, "data.labels is 'several'"),
        ("question-answering", {"context_column": "c", "label_names": ["a", "b"]}, "data.label_names is"),
        ("question-answering", {"format": "squad"}, "set data.context_column=context"),
    ],
)
def test_settings_that_do_not_fit_questions_are_refused(task: str, data: dict[str, Any], told: str) -> None:
    tree = {"task": task, "data": {"train": "all.json", **data}, "model": {"source": "x"}}
    with pytest.raises(RecipeError, match=told):
        parse_recipe(tree)
