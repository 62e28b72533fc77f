"""The code in a stage's key is what it imports, found by reading; docstrings and comments do not count."""

import ast
import gc
import json
import re
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from hone.tasks import cache, code, version

TRAINING = {
    "tasks/model/training/loop.py", "tasks/model/training/trainable.py", "tasks/model/training/optimizer.py",
    "tasks/model/checkpoints/checkpoint.py",
    "tasks/model/architectures/encoders.py", "tasks/model/text.py", "tasks/model/tokenized.py",
    "tasks/cluster/worker.py",
    "tasks/objectives/learning.py", "tasks/objectives/text_classification/learning.py",
}  # fmt: skip
TEACHING = TRAINING | {
    "tasks/model/training/distillation.py", "tasks/model/training/losses.py", "tasks/model/teacher/outputs.py",
    "tasks/model/teacher/inference.py", "tasks/model/teacher/augment.py", "tasks/model/training/projections.py",
}  # fmt: skip
ASKING = {"tasks/model/runtime/predict.py", "tasks/model/text.py", "tasks/model/runtime/runtime.py"}
STAGES: dict[str, tuple[set[str], set[str]]] = {
    "data": ({"tasks/data/prepare.py", "tasks/data/split.py", "tasks/data/readers.py"}, TRAINING),
    "train": (TRAINING | {"tasks/train/supervised.py"}, (TEACHING - TRAINING) | ASKING - {"tasks/model/text.py"}),
    "distill": (
        TEACHING | {"tasks/distill/student.py"},
        {"tasks/model/training/fake_quantization.py", "tasks/model/runtime/predict.py"},
    ),
    "prune": (
        TEACHING
        | {f"tasks/prune/{name}.py" for name in ("structured", "importance", "magnitude", "wanda", "patterns")},
        {"tasks/model/runtime/predict.py"},
    ),
    "quantize": (
        TEACHING | {"tasks/quantize/calibrate.py", "tasks/model/training/fake_quantization.py"},
        {"tasks/prune/prune_model.py"},
    ),
    "export": (
        {"tasks/export/graph_passes.py", "tasks/model/checkpoints/checkpoint.py"},
        {"tasks/model/training/loop.py", "tasks/cluster/worker.py"},
    ),
    "evaluate": (
        ASKING | {"tasks/model/runtime/sessions.py", "tasks/evaluate/timing_worker.py", "tasks/probe/worker.py"},
        {"tasks/model/training/losses.py"},
    ),
    "champion": (ASKING | {"tasks/evidence.py"}, {"tasks/model/training/loop.py"}),
    "gate": (
        {"tasks/gate/checks.py", "tasks/evidence.py", "tasks/model/text.py"},
        {"tasks/model/checkpoints/checkpoint.py"},
    ),
    "drift": (
        ASKING | {"tasks/drift/embed.py", "tasks/model/checkpoints/checkpoint.py"},
        {"tasks/model/training/loop.py"},
    ),
}
MEETING = {"gate", "report", "register", "promote", "tracking", "data", "export"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_counts_what_it_runs_and_nothing_that_it_does_not(stage: str) -> None:
    has, has_not = STAGES[stage]
    found = set(code.digests(f"tasks.{stage}.task"))
    assert found >= has | {f"tasks/{stage}/task.py"}
    assert not found & has_not
    assert not any(file.startswith("flows/") or file.split("/")[1] in MEETING - {stage} for file in found)
    assert not found & {"tasks/stage.py", "tasks/cache.py", "tasks/store.py", "tasks/progress.py"}


def test_every_stage_is_asked(tmp_path: Path) -> None:
    tasks = Path(code.__file__).parent
    assert {path.parent.name for path in tasks.glob("*/task.py") if "run_stage(" in path.read_text()} == set(STAGES)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in code.PACKAGES:
        shutil.copytree(code.ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))


def changed(root: Path, stage: str) -> set[str]:
    return changed_of(root, f"tasks.{stage}.task")


def changed_of(root: Path, module: str) -> set[str]:
    now, then = (code.digests(module, place) for place in (root, code.ROOT))
    return {file for file in now.keys() | then.keys() if now.get(file) != then.get(file)}


def test_docstrings_comments_and_line_breaks_change_no_key(copy: Path) -> None:
    for file in code.digests("hone.tasks.train.task"):
        path = copy / file
        text = path.read_text()
        path.write_text(text.replace('"""', '"""Otherwise: ', 1) + "\n\n# a remark\n\n\n")
    assert changed(copy, "train") == set()


def test_code_that_is_imported_changes_the_keys_of_those_who_import_it(copy: Path) -> None:
    edit(copy, "tasks/model/training/losses.py", "    return ", "    1 + 1\n    return ")
    assert changed(copy, "distill") == {"tasks/model/training/losses.py"}
    assert changed(copy, "train") == set()
    edit(copy, "tasks/model/training/optimizer.py", "\ndef ", "\nTHIRD = 3\n\n\ndef ")
    assert changed(copy, "train") == set()  # nobody asks for it
    edit(copy, "tasks/model/training/optimizer.py", "    return ", "    1 + 1\n    return ")
    assert changed(copy, "train") == {"tasks/model/training/optimizer.py"}
    edit(copy, "tasks/tracking/server.py", "    return ", "    1 + 1\n    return ")
    assert changed(copy, "gate") == set()


def test_a_changed_objective_changes_the_keys_of_those_who_learn_by_it(copy: Path) -> None:
    objective = "tasks/objectives/text_classification/learning.py"
    edit(copy, objective, "ignore_index=-1", "ignore_index=-2")
    assert all(changed(copy, stage) == {objective} for stage in ("train", "distill", "prune", "quantize"))
    assert {objective} == changed_of(copy, "hone.tasks.model.teacher.inference")  # the key of what the teacher says


def test_of_a_module_counts_what_is_imported_from_it_and_what_that_uses(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    files = {
        "a": "from hone.tasks.b import used\nif TYPE_CHECKING:\n    from hone.tasks.types import T\n\n"
        "def f():\n    from hone.tasks.c import late\n    return [used(), 'worker.py', 'tasks.d']\n",
        "b": "import numpy\nLIMIT = 3\nOTHER = 4\n\ndef used():\n    return numpy.ones(LIMIT)\n\n"
        "def unused():\n    return OTHER\n",
        "c": "from hone.tasks.e import late\n",
        "d": "x = 1\n",
        "e": "print('imported')\n\ndef late():\n    'Says.'\n\ndef never():\n    return 1\n",
        "worker": "y = 1\n",
        "types": "T = int\n",
    }
    for name, text in files.items():
        (tmp_path / "tasks" / f"{name}.py").write_text(text)
    before = code.digests("tasks.a", tmp_path)
    assert set(before) == {f"tasks/{name}.py" for name in ("a", "b", "d", "e", "worker")}
    for name, old, new, counts in (
        ("b", "LIMIT = 3", "LIMIT = 5", True),
        ("b", "import numpy", "import torch as numpy", True),
        ("b", "OTHER = 4", "OTHER = 5", False),
        ("b", "return OTHER", "return 0", False),
        ("e", "'imported'", "'noisy'", True),
        ("e", "'Says.'", "'Says more.'", False),
        ("e", "return 1", "return 2", False),
        ("c", "import late", "import never as late", True),
    ):
        (tmp_path / "tasks" / f"{name}.py").write_text(files[name].replace(old, new))
        assert (code.digests("tasks.a", tmp_path) != before) == counts, (name, new)
        (tmp_path / "tasks" / f"{name}.py").write_text(files[name])


def test_ingredients_hold_settings_inputs_code_and_libraries() -> None:
    found = cache.gather({"a.b": [1]}, {"data": "sha256:1"}, "hone.tasks.words", ("numpy", "no-such-library"))
    assert found["setting a.b"] == "[1]"
    assert found["input data"] == "sha256:1"
    assert set(found) == {"setting a.b", "input data", "code tasks/words.py", "library numpy"}


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="no_such_stage: imported by a stage's code, and absent"):
        code.digests("tasks.no_such_stage")


def test_threads_that_parse_at_the_same_time_do_not_disturb_each_other() -> None:
    source = "\n".join(f"def f{number}(a):\n    return [a + {number}, {{'x': a}}]" for number in range(200))
    trees: list[ast.Module] = []
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()

    def parse() -> None:
        trees.extend(code.syntax_tree(source) for _ in range(30))

    def give_way(*_phase: object) -> None:  # garbage collection runs other threads in the middle of parsing
        time.sleep(0)

    gc.callbacks.append(give_way)
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    try:
        threads = [threading.Thread(target=parse) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.callbacks.remove(give_way)
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
    assert len(trees) == 90


def test_what_is_no_python_is_an_error_at_once() -> None:
    with pytest.raises(SyntaxError):
        code.syntax_tree("def")


def never(_source: str) -> ast.Module:
    pytest.fail("parsed again")


def test_nothing_is_left_to_parse_once_the_stages_are_read_by_this_process_or_an_earlier_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(code, "_kept", {})
    modules = [*(f"hone.tasks.{stage}.task" for stage in STAGES), *(f"hone.{module}" for module in code.ASKED_TOO)]
    code.read_stages(tmp_path / "new")
    monkeypatch.setattr(code, "syntax_tree", never)
    by_this_process = [code.digests(module) for module in modules]
    code._kept.clear()
    assert by_this_process == [code.digests(module) for module in modules]  # read, and not kept
    code._parse.cache_clear()
    code.read_stages(tmp_path / "new")
    assert by_this_process == [code.digests(module) for module in modules]


@pytest.mark.parametrize("content", ['{"modules', "[]", "{}"])
def test_what_an_earlier_process_read_of_other_code_or_left_in_pieces_is_not_taken(
    content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(code, "_kept", {})
    (tmp_path / f"{code.KEPT}-of-another.json").write_text('{"modules": {"tasks.dry_run": {"a.py": "0"}}}')
    file = tmp_path / f"{code.KEPT}-{version.code_digest()}.json"
    file.write_text(content)
    monkeypatch.setattr(code, "digests", lambda module: {f"{module}.py": "1"})  # what is read is another test's
    code.read_stages(tmp_path)
    assert code._kept["tasks.dry_run"] == {"tasks.dry_run.py": "1"}
    assert json.loads(file.read_text()) == {"modules": code._kept}


def test_a_folder_that_cannot_be_written_keeps_nothing_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(code, "_kept", {})
    monkeypatch.setattr(code, "digests", lambda module: {f"{module}.py": "1"})
    (tmp_path / "file").write_text("")
    code.read_stages(tmp_path / "file")
    assert code._kept["tasks.dry_run"] == {"tasks.dry_run.py": "1"}


def test_every_module_whose_code_names_what_is_filed_is_read_ahead() -> None:
    named = re.compile(r'"hone\.(tasks(?:\.\w+)+)"')
    files = [path for folder in ("tasks", "flows") for path in (code.ROOT / folder).rglob("*.py")]
    asking = [path.read_text() for path in files if "gather(" in path.read_text()]
    assert {name for text in asking for name in named.findall(text)} == set(code.ASKED_TOO)
