"""A champion moves once a report is written; what fails after the verdict is told in the report and ends the run."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from hone.flows import optimize
from hone.tasks import store
from hone.tasks.contracts import Promotion, RegisteredVersion, StageRecord
from hone.tasks.errors import RegistryError
from hone.tasks.report import task
from hone.tasks.report.build import Findings
from hone.tasks.stage import RunContext
from tests.report.conftest import findings, recipe, results

__all__ = ["recipe", "results"]

VERSION = RegisteredVersion(
    record=StageRecord(name="register", status="ran", reason="", seconds=1.0), name="tickets", version="3"
)


def away(*_: object) -> None:
    raise RegistryError("MLflow does not answer at http://me:secret@host")


@pytest.fixture
def found(results: dict[str, Any]) -> Findings:
    return findings({key: result for key, result in results.items() if key not in ("registered", "promotion")})


@pytest.fixture
def run(results: dict[str, Any], found: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    """A run whose stages have given what was found, whose version is 3 and whose champion it becomes; nothing but its
    report is really written."""
    made = {
        "train_teacher": found.models[0],
        "distill_student": found.models[1],
        "prune_student": found.models[2],
        "quantize_student": found.models[3],
        "clear_outputs": None,
        "export_models": found.exported,
        "evaluate_models": found.evaluation,
        "evaluate_champion": found.champion,
        "decide": found.verdict,
        "register_model": VERSION,
        "promote_model": Promotion(record=VERSION.record.model_copy(update={"name": "promote"})),
    }
    for name, result in made.items():
        monkeypatch.setattr(optimize, name, lambda *_, result=result: result)
    for name in ("write_report", "publish_report"):
        monkeypatch.setattr(optimize, name, getattr(task, name).fn)
    monkeypatch.setattr(task, "_examples", lambda *_: results["examples"])
    monkeypatch.setattr(task, "_show", lambda *_: None)
    monkeypatch.setattr(task, "deliver", lambda _, folder, __: store.write_text(folder / "model.onnx", ""))
    monkeypatch.setattr(store, "open_artifact", lambda _: tmp_path)
    log = type("Log", (), {name: lambda *_: None for name in ("file", "tags", "metrics")})
    monkeypatch.setattr(task.tracking, "pipeline_log", lambda _: contextlib.nullcontext(log()))
    return results["context"].model_copy(update={"output": str(tmp_path / "out")})


def test_a_registry_that_is_away_is_a_record_and_an_error_for_later(
    run: RunContext, found: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimize, "register_model", away)
    ended, failure = optimize.release(run, found)
    assert (ended.registered.record.status, ended.registered.version) == ("failed", "")
    assert ended.registered.record.reason == "MLflow does not answer at http://***@host"
    assert (ended.promotion.record.status, ended.promotion.record.reason) == ("skipped", "nothing was registered")
    assert isinstance(failure, RegistryError)


def test_a_version_that_is_registered_is_told_though_its_promotion_fails(
    run: RunContext, found: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, failure = optimize.release(run, found)
    assert (ended.registered, ended.promotion.record.status, failure) == (VERSION, "ran", None)
    monkeypatch.setattr(optimize, "promote_model", away)
    ended, failure = optimize.release(run, found)
    assert (ended.registered, ended.promotion.record.status) == (VERSION, "failed")
    assert isinstance(failure, RegistryError)


@pytest.mark.parametrize("stage", ["register_model", "promote_model"])
def test_the_report_is_written_before_a_run_ends_with_what_failed_after_the_verdict(
    run: RunContext, found: Findings, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(optimize, stage, away)
    with pytest.raises(RegistryError, match="MLflow does not answer"):
        optimize.chain(run, found.data)
    page = " ".join((Path(run.output) / "report.html").read_text().split())
    assert '<h1 class="accepted">Accepted</h1>' in page
    failed = {"register_model": "Not registered: ", "promote_model": "Not promoted: "}[stage]
    assert f"{failed}MLflow does not answer at http://***@host." in page


def test_no_champion_moves_before_a_report_is_written(
    run: RunContext, found: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def promoted(*_: object) -> Promotion:
        page = (Path(run.output) / "report.html").read_text()
        assert "Not promoted: it comes after this report." in " ".join(page.split())
        moved.append(1)
        return Promotion(record=VERSION.record)

    moved: list[int] = []
    monkeypatch.setattr(optimize, "promote_model", promoted)
    optimize.chain(run, found.data)
    assert moved == [1]
    assert "it comes after this report" not in (Path(run.output) / "report.html").read_text()


def test_a_page_that_cannot_be_written_leaves_the_champion_and_keeps_the_numbers_and_the_model(
    run: RunContext, found: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a name that the template lacks")

    monkeypatch.setattr(task, "render_page", broken)
    monkeypatch.setattr(optimize, "promote_model", lambda *_: pytest.fail("the champion moved without a report"))
    with pytest.raises(KeyError, match="the template lacks"):
        optimize.chain(run, found.data)
    assert sorted(path.name for path in Path(run.output).glob("[!.]*")) == ["model", "report.json"]
