"""A plot for places without the page around it is a file of its own."""

from typing import Any
from xml.etree import ElementTree

from hone.tasks.report.plots import learning_curves, quality_against_latency, standalone


def test_every_plot_that_stands_alone_is_well_formed_and_has_all_its_colours(report: dict[str, Any]) -> None:
    plots = [quality_against_latency(report), *learning_curves(report).values()]
    assert len(plots) > 1
    for plot in plots:
        text = standalone(plot)
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in text
