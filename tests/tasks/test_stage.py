"""The shell of a stage: a result is found, made again beside the old one, or not there, and taken from no reader."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hone.configs.recipe import Recipe
from hone.tasks import store
from hone.tasks.contracts import PreparedData
from hone.tasks.errors import TrainingError
from hone.tasks.stage import RunContext, StageWorkspace, run_stage


def run(folder: Path, text: str = "rows", fresh: bool = False, body: Callable[..., Any] | None = None) -> PreparedData:
    """A stage that writes a text."""
    recipe = Recipe.model_validate({"name": "demo", "data": {"train": "unused.csv"}, "model": {"source": "unused"}})
    context = RunContext(recipe=recipe, output=str(folder / "out"), storage=str(folder / "storage"), fresh=fresh)

    def write(workspace: StageWorkspace) -> dict[str, Any]:
        (workspace.folder / "splits").mkdir()
        (workspace.folder / "splits" / "train.txt").write_text(text)
        return {
            "artifact": workspace.artifact("splits", ["sha256:0"]),
            "content_digest": "sha256:0",
            "labels": ["no", "yes"],
            "rows": {"train": 1},
        }

    make = body or write
    make.__module__ = "hone.tasks.data.task"
    return run_stage(context, "data", PreparedData, make, settings={"a": 1}, inputs={})


def key_folder(folder: Path) -> Path:
    [pointer] = (folder / "storage" / "stages" / "data").glob("*/result.json")
    return pointer.parent


def test_a_result_is_found_again_where_its_artifact_says(tmp_path: Path) -> None:
    made, again = run(tmp_path), run(tmp_path)
    assert (made.record.status, again.record.status) == ("ran", "cached")
    assert again.artifact == made.artifact
    assert (store.open_artifact(again.artifact) / "train.txt").read_text() == "rows"
    left = sorted(path.name for path in key_folder(tmp_path).parent.iterdir())
    assert left == sorted([key_folder(tmp_path).name, "latest-demo.json"])


def test_fresh_makes_a_result_beside_the_one_that_another_run_reads(tmp_path: Path) -> None:
    before = run(tmp_path)
    after = run(tmp_path, "other rows", fresh=True)
    assert (store.open_artifact(before.artifact) / "train.txt").read_text() == "rows"
    assert (store.open_artifact(after.artifact) / "train.txt").read_text() == "other rows"
    assert run(tmp_path).artifact == after.artifact
    same = run(tmp_path, "other rows", fresh=True)
    assert (same.record.status, same.artifact) == ("ran", after.artifact)
    assert len([path for path in key_folder(tmp_path).iterdir() if path.is_dir()]) == 2


def test_a_damaged_result_is_made_again_and_whoever_reads_it_keeps_its_files(tmp_path: Path) -> None:
    before = run(tmp_path)
    file = store.local_path(before.artifact) / "train.txt"
    file.write_text("damaged")
    again = run(tmp_path)
    assert again.record.status == "ran"
    assert again.record.reason.startswith("damaged: ")
    assert file.read_text() == "damaged"
    assert (store.open_artifact(again.artifact) / "train.txt").read_text() == "rows"
    assert run(tmp_path).record.status == "cached"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.pop("rows"), "rows: Field required; made again"),
        (lambda content: content.update(new=1), "new: Extra inputs are not permitted; made again"),
        (lambda content: content.update(contracts=99), "was written under contracts 99"),
    ],
)
def test_a_contract_of_other_code_is_a_result_that_is_not_there(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    run(tmp_path)
    pointer = key_folder(tmp_path) / "result.json"
    content = json.loads(pointer.read_text())
    change(content)
    pointer.write_text(json.dumps(content))
    again = run(tmp_path)
    assert again.record.reason.startswith("unreadable: ")
    assert reason in again.record.reason
    assert run(tmp_path).record.status == "cached"


def test_what_a_run_that_died_had_begun_is_not_in_the_result(tmp_path: Path) -> None:
    def dies(workspace: StageWorkspace) -> dict[str, Any]:
        (workspace.folder / "splits").mkdir()
        (workspace.folder / "splits" / "stray.txt").write_text("half")
        (workspace.scratch / "point").write_text("resume")
        raise TrainingError("died")

    with pytest.raises(TrainingError):
        run(tmp_path, body=dies)
    [room] = (tmp_path / "storage" / "stages" / "data").glob("*.partial")
    assert (room / "scratch" / "point").is_file()
    made = run(tmp_path)
    assert [path.name for path in store.open_artifact(made.artifact).iterdir()] == ["train.txt"]
    assert not room.exists()


def test_two_runs_at_a_time_make_a_result_once_and_neither_loses_it_to_fresh(tmp_path: Path) -> None:
    """Real processes: two wait for each other's lease, while a third makes everything again five times."""
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_stage as t\n"
        "from hone.tasks import store\n"
        "for turn in range(5):\n"
        "    made = t.run(Path(sys.argv[2]), sys.argv[3], fresh=bool(sys.argv[4]))\n"
        "    assert (store.open_artifact(made.artifact) / 'train.txt').is_file()\n"
        "    print(made.record.status)\n"
    )
    here = str(Path(__file__).parent)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, here, str(tmp_path), text, fresh],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )
        for text, fresh in (("a", ""), ("a", ""), ("b", "yes"))
    ]  # fmt: skip
    told = [run.communicate(timeout=600) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], told
    statuses = [out.split() for out, _err in told]
    assert (statuses[0] + statuses[1]).count("ran") <= 1
    assert statuses[2] == ["ran"] * 5
