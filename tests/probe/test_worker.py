"""The bare process: what it refuses to import, and how it judges an answer."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from hone.tasks.probe import worker
from hone.tasks.probe.probe import RUNTIME, WORKER

NAMES = ["bad", "fair", "good"]


def run_with(line: str, folder: Path) -> str:
    """What the process says last when, once its hook is in place, it comes to this line."""
    marker = "    sys.meta_path.insert(0, Refusal)\n"
    source = WORKER.read_text()
    assert source.count(marker) == 1
    changed = folder / "worker.py"
    changed.write_text(source.replace(marker, f"{marker}    {line}\n    sys.exit('it was there')\n"))
    command = [sys.executable, "-I", str(changed), str(RUNTIME), "folder", "golden", "answer"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


OURS = ["hone", "tasks", "hone.tasks.contracts", "flows", "configs"]


@pytest.mark.parametrize("name", ["torch", "transformers", *OURS])
def test_the_process_refuses_hone_and_what_trained_the_model(name: str, tmp_path: Path) -> None:
    said = run_with(f"import {name}", tmp_path)
    assert said == f"ModuleNotFoundError: {name.split('.', maxsplit=1)[0]}: not there where the model is served"


def test_the_process_lets_the_serving_libraries_in(tmp_path: Path) -> None:
    assert run_with("import onnxruntime", tmp_path) == "it was there"


def test_the_process_needs_nothing_but_what_opens_the_model() -> None:
    tree = ast.parse(WORKER.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} - sys.stdlib_module_names == {"mlflow"}


@pytest.mark.parametrize(
    ("found", "expected", "difference", "label"),
    [
        ([0.1, 0.2, 0.7], [0.1, 0.2, 0.7], 0.0, True),
        ([0.1, 0.6, 0.3], [0.1, 0.2, 0.7], 0.4, False),
        # Which of two labels leads is within the tolerance of what may differ.
        ([0.1, 0.4502, 0.4498], [0.1, 0.4498, 0.4502], 0.0004, True),
        ([0.1, 0.46, 0.44], [0.1, 0.44, 0.46], 0.02, False),
        ([0.3, 0.7], [0.1, 0.2, 0.7], 1.0, False),
        ([0.1, float("nan"), 0.7], [0.1, 0.2, 0.7], 1.0, False),
    ],
)
def test_an_answer_is_held_against_the_expected_one(
    found: list[float], expected: list[float], difference: float, label: bool
) -> None:
    judged = worker.judge(dict(zip(NAMES, found, strict=False)), expected, NAMES, tolerance=1e-3)
    assert judged["max_abs_difference"] == pytest.approx(difference)
    assert judged["label_expected"] is label


@pytest.mark.parametrize(
    ("given", "chances", "difference", "label"),
    [
        (["a", "c"], [0.9, 0.1, 0.6], 0.0, True),
        (["c", "a"], [0.9, 0.1, 0.6005], 0.0005, True),
        (["a"], [0.9, 0.1, 0.6], 0.0, False),
        (["a", "b", "c"], [0.9, 0.1, 0.6], 0.0, False),
        ([], [0.9, float("nan"), 0.6], 1.0, False),
    ],
)
def test_several_labels_have_to_be_those_expected(
    given: list[str], chances: list[float], difference: float, label: bool
) -> None:
    found = {"labels": [{"label": name} for name in given], "probabilities": dict(zip("abc", chances, strict=True))}
    judged = worker.judge_several(found, [0.9, 0.1, 0.6], list("abc"), 1e-3, 0.4)
    assert judged["max_abs_difference"] == pytest.approx(difference)
    assert judged["label_expected"] is label


def test_a_label_at_the_threshold_may_be_given_or_not() -> None:
    chances = {"a": 0.9, "b": 0.4001}
    for given in (["a"], ["a", "b"]):
        found = {"labels": [{"label": name} for name in given], "probabilities": chances}
        assert worker.judge_several(found, [0.9, 0.3999], ["a", "b"], 1e-3, 0.4)["label_expected"]


def test_a_number_is_held_against_the_expected_one() -> None:
    assert worker.judge_number({"number": 2.5}, 2.0) == {"max_abs_difference": 0.5, "label_expected": True}
    assert worker.judge_number({"number": float("nan")}, -7.0) == {"max_abs_difference": 7.0, "label_expected": False}
