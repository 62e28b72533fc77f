"""What fails after the verdict is told in the report, and then ends the run."""

from pathlib import Path
from typing import Any

import pytest

from hone.flows import optimize
from hone.tasks.contracts import Promotion, RegisteredVersion, StageRecord
from hone.tasks.errors import RegistryError
from hone.tasks.report.build import build_report
from hone.tasks.report.page import render_page
from tests.report.conftest import recipe, results

__all__ = ["recipe", "results"]

VERSION = RegisteredVersion(
    record=StageRecord(name="register", status="ran", reason="", seconds=1.0), name="tickets", version="3"
)


def away(*_: object) -> None:
    raise RegistryError("MLflow does not answer at http://me:secret@host")


def test_a_registry_that_is_away_is_a_record_and_an_error_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "register_model", away)
    version, promotion, failure = optimize.release(*[None] * 5)  # type: ignore[arg-type]
    assert (version.record.status, version.version) == ("failed", "")
    assert version.record.reason == "MLflow does not answer at http://***@host"
    assert (promotion.record.status, promotion.record.reason) == ("skipped", "nothing was registered")
    assert isinstance(failure, RegistryError)


def test_a_version_that_is_registered_is_told_though_its_promotion_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "register_model", lambda *_: VERSION)
    monkeypatch.setattr(optimize, "promote_model", away)
    version, promotion, failure = optimize.release(*[None] * 5)  # type: ignore[arg-type]
    assert (version, promotion.record.status) == (VERSION, "failed")
    assert isinstance(failure, RegistryError)
    made = Promotion(record=VERSION.record)
    monkeypatch.setattr(optimize, "promote_model", lambda *_: made)
    assert optimize.release(*[None] * 5) == (VERSION, made, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", ["register_model", "promote_model"])
def test_the_report_is_written_before_a_run_ends_with_what_failed_after_the_verdict(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    teacher, distilled, pruned, quantized = results["models"]
    made = {
        "train_teacher": teacher,
        "distill_student": distilled,
        "prune_student": pruned,
        "quantize_student": quantized,
        "clear_outputs": None,
        "export_models": results["exported"],
        "evaluate_models": results["evaluation"],
        "evaluate_champion": results["champion"],
        "decide": results["verdict"],
        "register_model": VERSION,
    }
    for name, result in made.items():
        monkeypatch.setattr(optimize, name, lambda *_, result=result: result)
    monkeypatch.setattr(optimize, stage, away)

    def publish(*parts: Any) -> None:
        *first, drift = parts
        report = build_report(*first, results["examples"], drift)
        (tmp_path / "report.html").write_text(render_page(report))

    monkeypatch.setattr(optimize, "publish_report", publish)
    with pytest.raises(RegistryError, match="MLflow does not answer"):
        optimize.chain(results["context"], results["data"])
    page = " ".join((tmp_path / "report.html").read_text().split())
    assert '<h1 class="accepted">Accepted</h1>' in page
    failed = {"register_model": "Not registered: ", "promote_model": "Not promoted: "}[stage]
    assert f"{failed}MLflow does not answer at http://***@host." in page
