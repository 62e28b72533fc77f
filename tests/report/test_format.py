"""`report.json` is a contract: what programs may rely on is there, and what is newer is refused by name."""

import json
from typing import Any

import pytest

from hone.tasks.errors import PreflightError
from hone.tasks.report.format import FORMAT_VERSION, parse_report

CHECK = {"name", "subject", "verdict", "value", "threshold", "unit", "direction", "low", "high", "decides"}


def test_the_keys_that_programs_may_rely_on(report: dict[str, Any]) -> None:
    """Spelt out once more, not taken from the code: whoever changes one of them changes FORMAT_VERSION and this."""
    assert report["format_version"] == FORMAT_VERSION == 1
    read = parse_report(json.dumps(report, allow_nan=False), "report.json")
    assert {"candidates", "selected", "verdict", "checks", "stages", "machine", "name", "data", "recipe"} <= set(read)
    assert read["verdict"] in ("ACCEPTED", "REJECTED", "INCONCLUSIVE")
    assert read["selected"] in [candidate["name"] for candidate in read["candidates"]]
    for candidate in read["candidates"]:
        assert {"name", "stage", "metrics", "size_bytes", "speedup", "latency"} <= set(candidate)
        assert {type(value) for value in candidate["metrics"].values()} == {float}
        assert (type(candidate["size_bytes"]), type(candidate["speedup"])) == (int, float)
        for cell in candidate["latency"]:
            assert {"batch", "length", "p50_ms", "p95_ms", "samples"} <= set(cell)
    for check in [*read["checks"], *read["slices"]]:
        assert set(check) >= CHECK
        assert check["verdict"] in ("ACCEPTED", "REJECTED", "INCONCLUSIVE")
    for stage in read["stages"]:
        assert {"name", "status", "reason", "seconds", "digest"} <= set(stage)
        assert stage["status"] in ("ran", "cached", "skipped", "failed")
    assert {"cpu", "cores", "gpus", "system", "versions"} <= set(read["machine"])


def test_a_report_from_before_the_version_was_counted_is_read(report: dict[str, Any]) -> None:
    del report["format_version"]
    assert parse_report(json.dumps(report), "report.json") == report


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format_version": 2}, r"runs/a: its format_version is 2, and this Hone reads reports up to 1: read it with"),
        ({"format_version": "1"}, r"its format_version is '1', and a report's is 1 or more"),
        ({"candidates": None, "stages": None}, r"runs/a: no report of Hone's, .*as it lacks candidates, stages: name"),
    ],
)
def test_what_is_no_report_or_a_newer_one_is_refused_by_name(
    report: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    changed = {key: value for key, value in {**report, **changes}.items() if value is not None}
    with pytest.raises(PreflightError, match=told):
        parse_report(json.dumps({**changed, "drift": None}), "runs/a")


@pytest.mark.parametrize(("text", "told"), [("{", "not JSON"), ("[1]", "JSON, but a list")])
def test_other_json_is_refused(text: str, told: str) -> None:
    with pytest.raises(PreflightError, match=told):
        parse_report(text, "a.json")
