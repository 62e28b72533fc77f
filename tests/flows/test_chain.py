"""The whole chain on a tiny random model, with real Prefect, Ray, MLflow and ONNX Runtime, as a person would run it."""

import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from prefect.settings import PREFECT_API_URL
from tokenizers import Tokenizer
from typer.testing import CliRunner

from hone.flows.__main__ import app
from tests import tiny
from tests.conftest import forget_records
from tests.flows.outward import Outward, logging_proxy

COMPUTED = ["data", "train", "distill", "prune", "quantize", "export", "evaluate", "gate"]
STAGES = [*COMPUTED[:-1], "champion", "gate", "register", "promote"]
TEACHER_ALONE = [
    "--set", "distill.method=none", "--set", "prune.method=none", "--set", "quantize.method=none",
    "--set", "export.providers=[cuda, cpu]", "--set", "report.texts=none", "--set", "evaluate.rounds=1",
    "--set", "evaluate.cells=[1x8]", "--set", "evaluate.robustness=[]",
]  # fmt: skip
SECRET = "pLanTed-5eCreT"
CREDENTIALS = ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "PREFECT_API_KEY")
MODELS = ["teacher-pytorch", "teacher", "distilled", "pruned", "quantized", "floor"]


@dataclass
class Run:
    """One finished `hone` command."""

    folder: Path
    output: Path
    code: int
    text: str
    cpu_seconds: float

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.output / "report.json").read_text())


def hone(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hone", *arguments]


def run(
    folder: Path, recipe: Path, *arguments: str, output: str = "out", environment: dict[str, str] | None = None
) -> Run:
    before = processor_seconds()
    done = subprocess.run(
        hone("optimize", str(recipe), "--output", str(folder / output), *arguments),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    spent = processor_seconds() - before
    return Run(folder, folder / output, done.returncode, done.stdout + done.stderr, spent)


@pytest.fixture(scope="module")
def outward() -> Iterator[Outward]:
    with logging_proxy() as found:
        yield found


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """Where the first run's engines keep what they need for a while; Ray takes no long name."""
    folder = Path(tempfile.mkdtemp(prefix="hone-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, outward: Outward, temporary: Path) -> Run:
    folder = tmp_path_factory.mktemp("chain")
    behind = {name: url.replace("http://", f"http://somebody:{SECRET}@") for name, url in outward.environment.items()}
    environment = {**behind, **dict.fromkeys(CREDENTIALS, SECRET), "TMPDIR": str(temporary)}
    done = run(folder, tiny.write_recipe(folder), environment=environment)
    assert done.code == 0, done.text
    return done


def test_every_stage_ran_once_in_order_and_says_why(first: Run) -> None:
    stages = first.report["stages"]
    assert [stage["name"] for stage in stages] == STAGES
    assert {stage["name"]: stage["status"] for stage in stages if stage["status"] != "ran"} == {"champion": "skipped"}
    ran = [stage for stage in stages if stage["status"] == "ran"]
    assert all(stage["reason"] and stage["digest"] and stage["mlflow_run_id"] for stage in ran)


def test_the_report_holds_what_others_build_on(first: Run) -> None:
    report = first.report
    assert set(report) >= {
        "recipe", "verdict", "selected", "seed", "code_version", "data", "stages", "candidates", "checks",
    }  # fmt: skip
    assert set(report["data"]) >= {"digest", "rows", "bad_rows"}
    assert [candidate["name"] for candidate in report["candidates"]] == MODELS
    for candidate in report["candidates"]:
        assert set(candidate) >= {
            "name", "stage", "runtime", "provider", "precision", "metrics", "size_bytes", "parameters", "latency",
        }  # fmt: skip
    for cell in report["candidates"][1]["latency"]:
        assert set(cell) >= {"batch", "length", "p50_ms", "p95_ms", "p99_ms", "samples"}
    for check in report["checks"]:
        assert set(check) >= {"name", "verdict", "value", "threshold"}


def test_no_credential_of_its_environment_is_in_anything_that_a_run_wrote(first: Run, temporary: Path) -> None:
    assert SECRET not in first.text
    written = [*files(first.folder), *files(temporary), *files(Path(os.environ["PREFECT_HOME"]))]
    assert len(written) > 100
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def test_each_stage_makes_the_model_smaller_and_it_still_knows_the_task(first: Run) -> None:
    found = {candidate["name"]: candidate for candidate in first.report["candidates"]}
    chain = [found[name] for name in ("teacher", "distilled", "pruned", "quantized")]
    assert [c["parameters"] for c in chain[:3]] == sorted({c["parameters"] for c in chain[:3]}, reverse=True)
    assert chain[3]["size_bytes"] < chain[2]["size_bytes"]
    assert all(c["metrics"]["accuracy"] > 0.8 for c in chain)


def test_the_selected_model_answers_in_plain_onnxruntime(first: Run) -> None:
    model = first.output / "model"
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    session = onnxruntime.InferenceSession(str(model / "model.onnx"), providers=["CPUExecutionProvider"])
    labels = json.loads((model / "config.json").read_text())["id2label"]
    for text, expected in [("the film is superb", "good"), ("a dull story", "bad")]:
        encoded = tokenizer.encode(text)
        feed = {"input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids}
        names = {value.name for value in session.get_inputs()}
        (logits,) = session.run(["logits"], {k: np.array([v], dtype=np.int64) for k, v in feed.items() if k in names})
        assert labels[str(int(np.argmax(logits)))] == expected


def test_the_registered_champion_answers_sentences_and_nothing_calls_out(first: Run, outward: Outward) -> None:
    script = (
        "import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]);"
        "print(mlflow.pyfunc.load_model('models:/tiny@champion').predict(['the film is superb', 'a dull story']))"
    )
    uri = f"sqlite:///{first.folder / 'storage' / 'mlflow.db'}"
    behind = {**os.environ, **outward.environment}
    behind.pop("ORT_DISABLE_TELEMETRY")  # as in a process that is not Hone's
    command = [sys.executable, "-c", script, uri]
    done = subprocess.run(command, env=behind, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("good") < done.stdout.index("bad")
    assert outward.asked == []  # by the whole run that made it neither

    home = "import urllib.request; urllib.request.urlopen('http://home.invalid/')"
    subprocess.run([sys.executable, "-c", home], env=behind, capture_output=True, timeout=60, check=False)
    assert outward.asked == ["GET http://home.invalid/"]


def test_mlflow_holds_one_run_with_a_nested_run_for_each_stage(first: Run) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{first.folder / 'storage' / 'mlflow.db'}")
    stages = {stage["name"]: stage["mlflow_run_id"] for stage in first.report["stages"]}
    runs = {name: client.get_run(run_id) for name, run_id in stages.items() if run_id}
    parents = {found.data.tags["mlflow.parentRunId"] for found in runs.values()}
    assert len(parents) == 1
    assert runs["train"].data.params["train.epochs"] == "6"
    # One for the encoder as it comes, and one for each epoch.
    assert len(client.get_metric_history(stages["train"], "validation_accuracy")) == 1 + 6
    parent = client.get_run(parents.pop())
    assert parent.data.tags["hone.verdict"] == "ACCEPTED"
    assert parent.data.tags["hone.registered"] == "tiny/1"
    assert client.get_model_version("tiny", "1").tags["hone.pipeline_run_id"] == parent.info.run_id  # and back
    assert "Registered as `tiny/1`." in parent.data.tags["mlflow.note.content"]
    assert "hone.prefect_run" not in parent.data.tags  # no server had this run
    assert {artifact.path for artifact in client.list_artifacts(parent.info.run_id)} >= {"report.json", "report.html"}
    digests = [used.dataset.digest for used in parent.inputs.dataset_inputs]
    assert any(first.report["data"]["digest"].removeprefix("sha256:").startswith(digest) for digest in digests)


def test_the_page_fetches_nothing_and_says_the_verdict(first: Run) -> None:
    page = (first.output / "report.html").read_text()
    assert "ACCEPTED" in page
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_the_terminal_shows_a_line_for_each_stage_the_table_and_the_verdict_and_no_wall(first: Run) -> None:
    lines = first.text.splitlines()
    assert all(any(line.startswith(f"{mark} {stage}") for line in lines for mark in "✓-") for stage in STAGES)
    assert "ACCEPTED" in first.text
    assert f"{first.output}/report.html" in first.text.replace("\n", "")
    assert len(lines) < 60, first.text
    assert "Warning" not in first.text


def test_an_unchanged_run_reuses_every_stage_and_takes_twice_what_loading_its_engines_takes_at_most(
    first: Run,
) -> None:
    """Processor seconds of the same work differ threefold on cores that others use too, so each is held against what
    the engines' own imports take in the same minute."""
    ratios = []
    while not ratios or (min(ratios) >= 2 and len(ratios) < 3):
        before = loading()
        again = run(first.folder, first.folder / "recipe.yaml", output="again")
        ratios.append(again.cpu_seconds / statistics.mean((before, loading())))
    assert again.code == 0, again.text
    assert {stage["name"] for stage in again.report["stages"] if stage["status"] == "cached"} == {*COMPUTED, "register"}
    assert again.report["candidates"] == first.report["candidates"]
    assert min(ratios) < 2, ratios


def loading() -> float:
    """Processor seconds that Prefect, its server, MLflow and Matplotlib take to be imported."""
    before = processor_seconds()
    for engines in ("prefect.server.api.server", "prefect, mlflow.store.tracking.sqlalchemy_store, matplotlib.pyplot"):
        subprocess.run([sys.executable, "-c", f"import {engines}"], check=True)
    return processor_seconds() - before


def processor_seconds() -> float:
    """Of all processes that were started here and waited for: neighbours on the same cores do not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_here(first: Run, *arguments: str, output: str) -> Run:
    """Another run of the same recipe, in this process, which has to load the engines once for all of these."""
    folder = first.folder / output
    done = CliRunner().invoke(app, ["optimize", str(first.folder / "recipe.yaml"), "--output", str(folder), *arguments])
    forget_records()
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return Run(first.folder, folder, done.exit_code, done.output, 0.0)


@pytest.mark.usefixtures("prefect_server")
def test_a_changed_setting_reruns_what_depends_on_it_and_is_named(first: Run) -> None:
    changed = run_here(
        first, "--set", "quantize.epochs=0", "--set", "gate.min_accuracy=1.0", "--set", "gate.max_size_fraction=0.0001",
        "--set", "evaluate.rounds=1", output="changed",
    )  # fmt: skip
    stages = {stage["name"]: stage for stage in changed.report["stages"]}
    assert {stages[name]["status"] for name in ("data", "train", "distill", "prune")} == {"cached"}
    assert {stages[name]["status"] for name in ("quantize", "gate")} == {"ran"}
    assert "quantize.epochs 1 -> 0" in stages["quantize"]["reason"]
    assert changed.code == 3
    assert changed.report["verdict"] == "REJECTED"
    assert stages["register"]["status"] == "skipped"


@pytest.mark.usefixtures("prefect_server")
def test_a_required_gpu_that_is_not_there_refuses_and_a_preferred_one_is_done_without(first: Run) -> None:
    asked = run_here(first, *TEACHER_ALONE, "--set", "gate.require_provider=cuda", output="cuda")
    teacher = next(candidate for candidate in asked.report["candidates"] if candidate["name"] == "teacher")
    if teacher["placement"]["got"][0] == "cuda":
        pytest.skip("this machine has a GPU")
    assert asked.code == 3
    refused = [check for check in asked.report["checks"] if check["verdict"] == "REJECTED"]
    assert [(check["name"], check["detail"]) for check in refused] == [
        ("required_provider", "the session's providers are cpu")
    ]
    assert (teacher["provider"], teacher["placement"]["asked"]) == ("CPUExecutionProvider", ["cuda", "cpu"])
    assert len(teacher["placement"]["fallback"]) == len(teacher["placement"]["names"]["cpu"]) > 10


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_fails_ends_with_1_and_says_why(first: Run) -> None:
    finished = next((first.folder / "storage" / "stages" / "train").rglob("model.safetensors")).parent
    planted = finished / "weights.pkl"
    planted.write_bytes(b"a pickle")
    try:
        failed = run_here(first, output="failed")
    finally:
        planted.unlink()
    assert failed.code == 1
    assert "UnsafeFileError" in failed.text
    assert "refuses weights.pkl" in failed.text
    assert not (failed.output / "model").exists()


@pytest.mark.usefixtures("prefect_server")
def test_what_the_rows_cannot_show_ends_with_4_and_a_version_that_only_a_person_can_promote(first: Run) -> None:
    open_ = run_here(first, "--set", "gate.margin=0.0001", output="open")
    assert open_.code == 4, open_.text
    assert open_.report["verdict"] == "INCONCLUSIVE"
    question = next(check for check in open_.report["checks"] if check["verdict"] == "INCONCLUSIVE")
    assert question["name"] == "accuracy_difference"
    assert "at best" in question["detail"]
    assert (open_.report["registered"]["version"], open_.report["registered"]["aliases"]) == ("2", [])
    assert open_.report["promotion"] is None


@pytest.mark.usefixtures("prefect_server")
def test_stages_that_are_switched_off_leave_the_chain_whole(first: Run) -> None:
    off = run_here(first, *TEACHER_ALONE, output="off")
    assert off.code == 0, off.text
    skipped = [stage["name"] for stage in off.report["stages"] if stage["status"] == "skipped"]
    assert skipped[:3] == ["distill", "prune", "quantize"]
    assert off.report["selected"] == "teacher"
    texts = [text.encode() for text, _ in tiny.sentences(600, seed=1) if len(text) > 40]
    runs = [stage["mlflow_run_id"] for stage in off.report["stages"] if stage["mlflow_run_id"]]
    records = [path for one in runs for path in (first.folder / "storage" / "mlflow-artifacts").rglob(f"{one}/**/*")]
    shown = [path for path in [*files(off.output), *filter(Path.is_file, records)] if path.suffix != ".safetensors"]
    assert len(shown) > 10
    assert [path for path in shown if any(text in path.read_bytes() for text in texts)] == []  # report.texts is none
    assert off.report["champion"] == {"name": "tiny", "version": "1"}
    assert any(check["subject"] == "champion" for check in off.report["checks"])


@pytest.mark.usefixtures("prefect_server")
def test_a_run_killed_in_three_stages_goes_on_each_time_and_exports_the_same_models(first: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        (first.folder / "recipe.yaml").read_text().replace(f"{first.folder}/storage", f"{tmp_path}/storage")
    )
    # What was looked at, and the stages before the first kill, whose training takes longest.
    for kept in ("checks", "stages/data", "stages/train", "stages/distill", "stages/prune"):
        shutil.copytree(first.folder / "storage" / kept, tmp_path / "storage" / kept)
    for result in tmp_path.glob("storage/stages/*/*/result.json"):
        result.write_text(result.read_text().replace(f"{first.folder}/storage", f"{tmp_path}/storage"))
    made: dict[str, int] = {}
    for stage in ("quantize", "export"):
        kill_in(stage, recipe, tmp_path)
        finished = tmp_path.glob("storage/stages/*/*/result.json")
        found = {path.parent.parent.name: path.stat().st_ino for path in finished}  # its time is that of its last use
        assert set(found) == set(COMPUTED[: COMPUTED.index(stage)])
        assert {name: found[name] for name in made} == made  # reused, and not made again
        made = found
    kill_in("evaluate", recipe, tmp_path)
    found = {path.parent.parent.name: path for path in tmp_path.glob("storage/stages/*/*/result.json")}
    assert {name: path.stat().st_ino for name, path in found.items() if name in made} == made
    undisturbed = {stage["name"]: stage["digest"] for stage in first.report["stages"]}
    digests = {name: json.loads(path.read_text())["record"]["digest"] for name, path in found.items()}
    assert digests == {name: undisturbed[name] for name in COMPUTED[: COMPUTED.index("evaluate")]}


def kill_in(stage: str, recipe: Path, folder: Path) -> None:
    """Runs the recipe until it is in a stage, and kills all of it there. Prefect's server is this process's own, which
    takes the run ten seconds less than one that it starts itself."""
    command = hone("optimize", str(recipe), "--output", str(folder / "out"))
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    victim = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, env=environment
    )
    deadline = time.monotonic() + 400
    while not list((folder / "storage" / "stages" / stage).glob("*.partial")):
        assert victim.poll() is None, victim.communicate()[0].decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.communicate()
