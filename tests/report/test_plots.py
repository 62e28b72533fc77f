import re

import pytest

from hone.tasks.report import plots
from hone.tasks.report.waterfall import waterfall
from hone.tasks.report.wording import ACCURACY

pytestmark = pytest.mark.usefixtures("drawn_anew")


def all_plots(report):
    return [
        plots.quality_against_latency(report),
        *waterfall(report).values(),
        *plots.learning_curves(report).values(),
    ]


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


def test_the_same_numbers_give_the_same_bytes(report):
    assert all_plots(report) == all_plots(report)


def test_every_colour_is_one_of_the_pages(report):
    for svg in all_plots(report):
        assert not re.search(r"#[0-9a-fA-F]{6}\b|DejaVu", svg)
        assert set(re.findall(r"var\((--[a-z]+)\)", svg)) <= {*plots.VARIABLES.values(), "--sans"}


def test_every_model_is_named_beside_its_point(report):
    named = {"teacher (PyTorch)", "teacher", "distilled", "quantized", "baseline (TF-IDF)"}
    assert named <= set(texts(plots.quality_against_latency(report)))


def test_the_least_accuracy_the_gate_asks_is_the_strictest_of_its_checks(report):
    report["checks"].append({"name": "accuracy_kept", "threshold": 0.97})
    assert plots._least_asked(report, ACCURACY) == 0.97 * 0.9
    report["checks"].append({"name": "accuracy", "threshold": 0.95})
    assert plots._least_asked(report, ACCURACY) == 0.95
    report["checks"] = []
    assert plots._least_asked(report, ACCURACY) is None
    assert "least the gate asks" not in texts(plots.quality_against_latency(report))


def test_a_model_without_an_accuracy_is_left_out_of_the_scatter_alone(rejected):
    assert "quantized" not in texts(plots.quality_against_latency(rejected))
    assert {"quantized", "–"} <= set(texts(waterfall(rejected)["Accuracy, %"]))


def test_a_single_model_is_still_drawn(report):
    report["candidates"] = report["candidates"][1:2]
    report["selected"] = "teacher"
    assert "teacher" in texts(plots.quality_against_latency(report))
    assert texts(waterfall(report)["Size"]) == ["teacher", "91.0 MB"]


def test_nothing_measured_is_nothing_drawn(report):
    for candidate in report["candidates"]:
        candidate["latency"] = []
    report["curves"] = {}
    assert plots.quality_against_latency(report) == ""
    assert list(waterfall(report)) == ["Accuracy, %", "Size"]
    assert plots.learning_curves(report) == {}


def test_the_waterfall_has_the_exported_chain_with_the_change_from_stage_to_stage(report):
    drawn = {title: [text.replace("\xa0\xa0", " ") for text in texts(svg)] for title, svg in waterfall(report).items()}
    chain = ["teacher", "distilled", "quantized"]
    assert drawn == {
        "Accuracy, %": [*chain, "90.00", "89.00 −1.00", "88.50 −0.50"],
        "Size": [*chain, "91.0 MB", "46.0 MB −49%", "11.6 MB −75%"],
        "Median ms at 1×32": [*chain, "5.40", "2.70 −50%", "0.67 −75%"],
    }


def test_a_stage_that_made_it_larger_says_so(report):
    report["candidates"][2]["size_bytes"] = 182_000_000
    assert "182 MB\xa0\xa02.0×" in texts(waterfall(report)["Size"])
    report["candidates"][2]["size_bytes"] = 100_100_000
    assert "100 MB\xa0\xa0+10%" in texts(waterfall(report)["Size"])


def test_validation_accuracy_has_one_scale_over_all_stages(report):
    drawn = plots.learning_curves(report)
    assert list(drawn) == ["train", "distill", "quantize"]
    ticks = [[text for text in texts(svg) if re.fullmatch(r"\d\d(\.\d)?", text)] for svg in drawn.values()]
    assert ticks[0] == ticks[1] == ticks[2]


def test_the_best_validation_accuracy_is_marked_with_its_value(report):
    assert "90.00" in texts(plots.learning_curves(report)["train"])


def test_gaps_in_a_curve_are_left_out(report):
    report["curves"]["train"] = [{"name": "train_loss", "steps": [1, 2, 3], "values": [None, 0.5, None]}]
    assert "training loss" in texts(plots.learning_curves(report)["train"])


def test_a_long_curve_is_thinned_to_means_of_neighbours():
    points = [(float(step), float(step % 2)) for step in range(1000)]
    thinned = plots._thinned(points)
    assert len(thinned) <= plots.MOST_POINTS
    assert thinned[0] == (3.0, 3 / 7)
    assert plots._thinned(points[:10]) == points[:10]
    assert plots._thinned([]) == []
