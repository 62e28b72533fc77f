"""Environment variables that hold for a while are put back, whatever happens meanwhile."""

import os

import pytest

from hone.tasks.environment import temporary_variables


def test_variables_hold_inside_and_are_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONE_CHANGED", "before")
    monkeypatch.setenv("HONE_TAKEN", "before")
    monkeypatch.delenv("HONE_NEW", raising=False)
    names = ("HONE_CHANGED", "HONE_TAKEN", "HONE_NEW")

    def fail() -> None:
        with temporary_variables(dict(zip(names, ("now", None, "now"), strict=True))):
            assert [os.environ.get(name) for name in names] == ["now", None, "now"]
            os.environ["HONE_TAKEN"] = "set inside"
            raise ValueError("meanwhile")

    with pytest.raises(ValueError, match="meanwhile"):
        fail()
    assert [os.environ.get(name) for name in names] == ["before", "before", None]
