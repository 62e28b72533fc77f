"""`import hone`: the calls that a notebook needs, which keep out of the way of the notebook's own modules."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

import hone
from hone import runs
from hone.configs.recipe import Recipe
from hone.tasks.errors import OutputError
from hone.tasks.model.runtime.runtime import Classifier
from tests import tiny
from tests.probe.served_tagger import write_served_tagger
from tests.register.conftest import PAIRS, TEXTS, model_folder, write_model

__all__ = ["model_folder"]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Of a project whose own modules have the names of Hone's, and end whoever imports them."""
    for name in ("tasks", "flows", "configs"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the project was imported')\n")
    monkeypatch.chdir(tmp_path)
    return hone.load_recipe(tiny.write_recipe(tmp_path / "project"), ["train.epochs=1"])


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Runs a program in place of the command, with its arguments."""
    monkeypatch.setattr(runs, "COMMAND", f"import json, sys, time; del sys.argv[1]; {program}")


def test_importing_it_loads_no_ml_library() -> None:
    engines = "{'torch', 'transformers', 'onnxruntime', 'mlflow', 'ray', 'prefect', 'datasets', 'numpy'}"
    script = f"import sys, hone; print(sorted({engines} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_call_is_documented() -> None:
    assert [name for name in hone.__all__ if not getattr(hone, name).__doc__] == []


def test_a_model_answers_as_it_is_served_and_the_environment_stays_the_callers(model_folder: Path) -> None:
    before = dict(os.environ)
    model = hone.load_model(model_folder)
    assert model.predict(TEXTS) == Classifier(model_folder).answers(TEXTS)
    assert dict(os.environ) == before


def test_pairs_are_answered_and_one_string_is_no_list_of_texts(model_folder: Path) -> None:
    write_model(model_folder, pairs=True)
    model = hone.load_model(str(model_folder))
    assert model.predict(TEXTS, PAIRS) == Classifier(model_folder).answers(TEXTS, PAIRS)
    with pytest.raises(ValueError, match=r"texts is one string: give a list of texts, such as \['one text'\]"):
        model.predict("good film")


def test_a_tagger_answers_texts_and_lists_of_words_with_their_entities(tmp_path: Path) -> None:
    found = hone.load_model(write_served_tagger(tmp_path / "tagger")).predict(["Ann Lee left.", ["Rome", "maybe"]])
    told = [[(one["start"], one["end"], one["text"], one["type"]) for one in several] for several in found]
    assert told == [[(0, 7, "Ann Lee", "person")], [(0, 4, "Rome", "place")]]


def test_a_model_that_is_not_there_is_refused_with_the_names_that_are_taken(tmp_path: Path) -> None:
    with pytest.raises(hone.HoneError, match=r"neither a folder with a model\.onnx nor NAME@ALIAS or NAME/VERSION"):
        hone.load_model("tickets")


def test_a_run_hands_the_command_this_recipe_and_returns_what_it_reports(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "out [1]" / "report.json"
    report.parent.mkdir()
    report.write_text(json.dumps({"verdict": "REJECTED", "selected": "pruned"}))
    stand_in(
        monkeypatch,
        "given = sys.argv[1:]; open('given.yaml', 'w').write(open(given[1]).read()); given[1] = 'FILE'; "
        f"print('✓ train'); print(given); print('report  {report.with_suffix('.html')}'); sys.exit(3)",
    )
    ended = hone.run(recipe, "out [1]", fresh=True)
    assert (ended.verdict, ended.folder, ended.report["selected"]) == ("REJECTED", report.parent, "pruned")
    assert hone.load_recipe("given.yaml") == recipe
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["✓ train", "['optimize', 'FILE', '--output', 'out [1]', '--fresh']"]


def test_a_run_that_cannot_start_is_an_error_by_the_commands_own_words_in_a_project_with_modules_of_hones_names(
    recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    lines: list[str] = []
    with pytest.raises(OutputError, match=r"^--output is .*/taken, and .*/taken is not a folder: name another") as told:
        hone.run(recipe, "taken", tell=lines.append)
    assert str(told.value) in lines[-1]


def test_interrupting_a_run_ends_its_process(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(
        monkeypatch,
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "print(os.getpid(), flush=True); time.sleep(600)",
    )

    def interrupt(line: str) -> NoReturn:
        pids.append(int(line))
        raise KeyboardInterrupt

    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        hone.run(recipe, tell=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
