"""What fails after the verdict is told in the report, and then ends the run."""

import pytest

from flows import optimize
from tasks.contracts import Promotion, RegisteredVersion, StageRecord
from tasks.errors import RegistryError

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
