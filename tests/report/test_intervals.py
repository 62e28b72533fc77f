import re
from xml.etree import ElementTree

import pytest

from hone.tasks.report.intervals import INSET, WIDTH, drawing, span


def check(value, low, high, threshold=-0.02, direction="above", verdict="ACCEPTED", **changes):
    fields = {"name": "accuracy_difference", "unit": "points", "level": 0.05, "decides": True}
    numbers = {"value": value, "low": low, "high": high, "threshold": threshold}
    return fields | numbers | {"direction": direction, "verdict": verdict} | changes


def parts(svg):
    root = ElementTree.fromstring(svg)
    return {part.get("class"): part for part in root}


def ends(svg, part):
    found = parts(svg)[part]
    left = float(found.get("x"))
    return left, left + float(found.get("width"))


def line(svg):
    return float(re.match(r"M([\d.]+) ", parts(svg)["threshold"].get("d"))[1])


def test_bar_dot_and_threshold_lie_where_their_numbers_are():
    svg = drawing(check(0.0, -0.01, 0.01, threshold=-0.03))
    inside = WIDTH - 2 * INSET
    assert line(svg) == pytest.approx(INSET)
    assert ends(svg, "reach") == pytest.approx((INSET + inside / 2, WIDTH - INSET))
    assert float(parts(svg)["value"].get("cx")) == pytest.approx(INSET + 0.75 * inside)


def test_a_bar_clear_of_the_shade_is_one_that_passes_and_one_that_is_cut_is_open():
    passed = drawing(check(0.0, -0.01, 0.01))
    assert ends(passed, "refused")[1] < ends(passed, "reach")[0]
    cut = drawing(check(-0.01, -0.03, 0.01, verdict="INCONCLUSIVE"))
    assert ends(cut, "reach")[0] < line(cut) < ends(cut, "reach")[1]
    assert 'class="interval open"' in cut


def test_the_failing_side_of_a_largest_value_is_the_right():
    svg = drawing(check(4.0, 3.5, 4.5, threshold=5.0, direction="at_most", unit="ms"))
    assert ends(svg, "refused") == pytest.approx((line(svg), WIDTH))


def test_on_a_shared_scale_equal_numbers_lie_at_equal_places_and_what_is_beyond_is_cut_off():
    near, far = check(0.0, -0.01, 0.01), check(-0.2, -0.9, 0.5)
    scale = span([near])
    assert line(drawing(near, scale)) == line(drawing(far, scale))
    assert ends(drawing(far, scale), "reach") == (0.0, WIDTH)


def test_an_end_that_is_open_reaches_the_edge():
    assert ends(drawing(check(0.0, None, 0.01)), "reach")[0] == 0.0


def test_a_value_without_an_interval_and_one_that_was_not_measured_are_not_drawn():
    assert drawing(check(0.1, None, None)) == ""
    assert drawing(check(None, None, None)) == ""
    assert span([check(0.1, None, None)]) is None


def test_equal_numbers_are_a_bar_that_can_be_seen():
    left, right = ends(drawing(check(0.0, 0.0, 0.0, threshold=0.0)), "reach")
    assert right - left == 1.0


def test_the_drawing_can_be_read_out():
    assert 'aria-label="0.00 points, between −1.00 points and +1.00 points; asked: no more than 2.00 points below"' in (
        drawing(check(0.0, -0.01, 0.01))
    )
