import json

from hone.tasks.contracts import ChampionAnswers, Check, Curve, DriftPart, DriftReport, Promotion, StageRecord
from hone.tasks.report.page import render_page
from hone.tasks.report.write import write_files
from tests.report.conftest import told


def test_the_report_holds_what_it_promises(report):
    assert report["verdict"] == "ACCEPTED"
    assert report["selected"] == "quantized"
    assert report["seed"] == 3
    assert report["code_version"]
    assert report["recipe"]["name"] == "Reviews"
    assert report["recipe"]["register"]["enabled"] is True
    assert report["data"]["digest"] == "sha256:rows"
    assert report["data"]["rows"] == {"train": 1000, "validation": 100, "test": 100}
    assert report["data"]["bad_rows"][0]["count"] == 12
    for stage in report["stages"]:
        assert set(stage) == {"name", "status", "reason", "seconds", "mlflow_run_id", "digest"}
    for candidate in report["candidates"]:
        assert {"name", "stage", "runtime", "provider", "precision", "metrics", "size_bytes", "parameters"} <= set(
            candidate
        )
        for cell in candidate["latency"]:
            assert {"batch", "length", "p50_ms", "p95_ms", "p99_ms", "samples"} <= set(cell)
    for check in report["checks"]:
        assert {"name", "verdict", "value", "threshold"} <= set(check)
    assert [check["subject"] for check in report["slices"]] == [
        "label = negative",
        "label = positive",
        "genre = travel",
    ]
    assert [step["model"] for step in report["handoffs"]] == ["teacher", "distilled", "quantized", "quantized"]
    assert report["serving"]["answered"] == 32
    assert report["champion"] == {"name": "reviews", "version": "3"}
    assert report["promotion"]["to_version"] == "4"
    assert report["examples"]["lost"][0]["text"].startswith("a fine")
    assert "parity" not in report


def test_where_there_is_no_champion_no_change_and_no_serving_stands_null(results):
    changes = {
        "champion": ChampionAnswers(record=results["champion"].record),
        "promotion": Promotion(record=results["promotion"].record),
        "evaluation": results["evaluation"].model_copy(update={"serving": None}),
    }
    report = told(results, **changes)
    assert report["champion"] == {"name": "", "version": None}
    assert report["promotion"] is None
    assert report["serving"] is None


def test_stages_stand_in_the_order_of_the_chain(report):
    chain = "data train distill prune quantize export evaluate champion gate register promote"
    assert [stage["name"] for stage in report["stages"]] == chain.split()


def test_a_skipped_stage_does_not_show_the_curves_and_notes_of_the_stage_before(report):
    assert set(report["curves"]) == {"train", "distill", "quantize"}
    assert "prune" not in report["notes"]


def test_layers_kept_in_higher_precision_are_named(report):
    assert report["notes"]["quantize"]["layers_kept"] == ["classifier"]


def test_a_number_that_is_not_finite_becomes_null(results):
    model = results["models"][1]
    broken = model.checkpoint.model_copy(
        update={
            "curves": [Curve(name="train_loss", steps=[1, 2], values=[float("nan"), 1.0])],
            "notes": {"worst": float("inf")},
        }
    )
    models = [results["models"][0], model.model_copy(update={"checkpoint": broken}), *results["models"][2:]]
    verdict = results["verdict"].model_copy(
        update={"checks": [Check(name="x", verdict="REJECTED", value=None, threshold=1, direction="at_most")]}
    )
    apart = results["evaluation"].handoffs[0].model_copy(update={"max_abs_difference": float("inf")})
    evaluation = results["evaluation"].model_copy(update={"handoffs": [apart]})
    report = told(results, models=models, verdict=verdict, evaluation=evaluation)
    assert report["handoffs"][0]["max_abs_difference"] is None
    assert "teacher" in render_page(report)
    assert report["curves"]["distill"][0]["values"] == [None, 1.0]
    assert report["notes"]["distill"]["worst"] is None
    json.dumps(report, allow_nan=False)


def test_both_files_are_written_and_nothing_is_left_beside_them(report, tmp_path):
    for _ in range(2):
        write_files(tmp_path / "out", report, render_page(report))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8")) == report


def test_the_page_needs_nothing_but_the_json(report, tmp_path):
    write_files(tmp_path / "first", report, render_page(report))
    read = json.loads((tmp_path / "first" / "report.json").read_text(encoding="utf-8"))
    write_files(tmp_path / "second", read, render_page(read))
    first, second = (tmp_path / folder / "report.html" for folder in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_the_drift_of_a_retraining_is_told_and_shown(results):
    part = DriftPart(name="unseen_words", before="1%", now="9%", index=0.4, test="KS", p_value=0.0004, drifted=True)
    record = StageRecord(name="drift", status="ran", reason="first run of this stage", seconds=1.0)
    rows = {"before": 1000, "now": 1200}
    drift = DriftReport(record=record, name="reviews", version="3", rows=rows, parts=[part])
    champion = results["champion"].model_copy(update={"old_note": "nobody recalls them"})
    report = told(results, champion=champion, drift=drift)
    assert [stage["name"] for stage in report["stages"]][:2] == ["data", "drift"]
    assert report["drift"]["parts"][0]["now"] == "9%"
    page = render_page(report)
    assert "1,200 training rows held against 1,000 that reviews version 3 learned from" in page
    assert "On its own test rows: nobody recalls them." in page
    assert told(results)["drift"] is None
    assert "Drift of the data" not in render_page(told(results))
