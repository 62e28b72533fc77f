"""`hone predict` and the example beside it answer as the model was judged."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hone.flows.predict import run_predict
from hone.tasks.model.runtime.runtime import Classifier
from tests.probe.served_tagger import tagger, write_served_tagger
from tests.register.conftest import PAIRS, TEXTS, model_folder, write_model

__all__ = ["model_folder"]
EXAMPLE = Path(__file__).parents[2] / "infra/examples/answer.py"
Ask = Callable[..., tuple[str, list[dict], str]]


@pytest.fixture
def ask(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """What the command ends with, its answers, and its errors."""

    def run(file: str, format_: str = "", model: str = "") -> tuple[str, list[dict], str]:
        out = io.StringIO()
        ended = run_predict(model or str(model_folder), file, format_, str(tmp_path / "storage"), out)
        return ended, [json.loads(line) for line in out.getvalue().splitlines()], capsys.readouterr().err

    return run


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_lines_csv_and_jsonl_are_answered_alike_in_their_order(ask: Ask, model_folder: Path, tmp_path: Path) -> None:
    texts = TEXTS[:5]
    expected = Classifier(model_folder).answers(texts)
    lines = written(tmp_path / "a.txt", "\n".join(texts) + "\n")
    csv = written(tmp_path / "a.csv", "\ufeffid,text\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(texts)))
    jsonl = written(tmp_path / "a.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert [ask(file) for file in (lines, csv, jsonl)] == [("DONE", expected, "")] * 3


def test_pairs_come_from_the_columns_that_the_model_learned_from(ask: Ask, model_folder: Path, tmp_path: Path) -> None:
    write_model(model_folder, pairs=True, text_column="question", pair_column="answer")
    rows = [{"answer": pair, "question": text} for text, pair in zip(TEXTS, PAIRS, strict=True)]
    file = written(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert ask(file) == ("DONE", Classifier(model_folder).answers(TEXTS, PAIRS), "")
    assert "judges pairs, which a line does not hold" in ask(written(tmp_path / "a.txt", "good film"))[2]


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (
            "a.csv",
            "body,label\ngood film,1\n",
            "record 1: no text in column 'text', which the model learned from; it has b",
        ),
        ("a.jsonl", '{"text": 3}\n', "record 1: no text in column 'text'"),
        ("a.jsonl", "good film\n", "it cannot be read as jsonl: Expecting value"),
        ("gone.csv", None, "gone.csv: it cannot be read: No such file"),
    ],
)
def test_a_file_that_does_not_fit_is_told_in_one_line(
    ask: Ask, tmp_path: Path, file: str, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / file).write_text(content)
    ended, answers, errors = ask(str(tmp_path / file))
    assert (ended, answers) == ("INVALID", [])
    assert told in errors
    assert len(errors.splitlines()) == 1


def test_what_is_no_model_is_told(ask: Ask, tmp_path: Path) -> None:
    assert "neither a folder with a model.onnx nor NAME@ALIAS" in ask("-", model="tickets")[2]
    assert "there is no model.onnx in it" in ask("-", model=str(tmp_path))[2]
    assert "neither a folder with a model.onnx" in ask("-", model=str(tmp_path / "none"))[2]
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "model.onnx").write_bytes(b"")
    assert "it does not load as a model that Hone exported" in ask("-", model=str(tmp_path / "half"))[2]


def test_the_folder_of_a_run_answers_with_the_model_in_it(ask: Ask, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(model_folder)
    lines = written(tmp_path / "a.txt", f"{TEXTS[0]}\n")
    assert (
        ask(lines, model=str(tmp_path / "run"))
        == ask(lines)
        == ("DONE", Classifier(model_folder).answers(TEXTS[:1]), "")
    )


def test_the_example_answers_with_onnxruntime_and_tokenizers_alone(model_folder: Path) -> None:
    long = "good film " * 20
    command = [sys.executable, "-I", str(EXAMPLE), str(model_folder), "a dull plot", long]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = Classifier(model_folder).answers(["a dull plot", long])
    for line, answer in zip(done.stdout.splitlines(), expected, strict=True):
        label, _, rest = line.partition(" ")
        assert label == answer["label"]
        told = json.loads(rest[: rest.index("]") + 1])
        assert told == pytest.approx(list(answer["probabilities"].values()), abs=1e-3)


def test_a_tagger_answers_words_and_texts_with_their_entities(ask: Ask, tmp_path: Path) -> None:
    folder = write_served_tagger(tmp_path / "tagger")
    settings = json.loads((folder / "serving.json").read_text())
    (folder / "serving.json").write_text(json.dumps(settings | {"text_column": "words"}))
    sentences = [["Ann", "Lee", "left"], ["Rome", "."]]
    expected = tagger(folder).answers(sentences)
    assert [entity["text"] for several in expected for entity in several] == ["Ann Lee", "Rome"]
    conll = written(
        tmp_path / "a.conll", "-DOCSTART- O\n\nAnn NNP B-person\nLee NNP I-person\nleft VBD O\n\nRome NNP O\n. . O\n"
    )
    words = written(tmp_path / "a.jsonl", "".join(json.dumps({"words": words}) + "\n" for words in sentences))
    texts = written(tmp_path / "b.jsonl", "".join(json.dumps({"text": " ".join(words)}) + "\n" for words in sentences))
    lines = written(tmp_path / "a.txt", "Ann Lee left\nRome .\n")
    for file in (conll, words, texts, lines):
        assert ask(file, model=str(folder)) == ("DONE", expected, "")
    wrong = written(tmp_path / "c.jsonl", json.dumps({"words": [1]}))
    assert "record 1: no text in column 'words', which the model learned from" in ask(wrong, model=str(folder))[2]


def test_words_of_a_conll_file_are_not_texts_for_a_classifier(ask: Ask, tmp_path: Path) -> None:
    ended, answers, errors = ask(written(tmp_path / "a.conll", "Ann B-person\n"))
    assert (ended, answers) == ("INVALID", [])
    assert "CoNLL holds words, and the model judges texts" in errors


def test_questions_of_squads_json_are_not_for_a_classifier(ask: Ask, tmp_path: Path) -> None:
    ended, answers, errors = ask(written(tmp_path / "a.json", '{"data": []}'))
    assert (ended, answers) == ("INVALID", [])
    assert "only a model that answers questions reads SQuAD's JSON" in errors
