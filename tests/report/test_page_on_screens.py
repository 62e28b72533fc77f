"""The page as people see it: in a real browser, on phones and wide screens, and on paper."""

from pathlib import Path

import pytest

from tasks.report.narrow import label_cells
from tasks.report.page import render_page
from tests.flows import chromium

CUT = """[...document.querySelectorAll("main, .wide, table, .figures, figure")]
  .filter(part => part.scrollWidth > part.clientWidth + 1 && part.checkVisibility())
  .map(part => part.outerHTML.slice(0, 120) + ` ${part.scrollWidth} > ${part.clientWidth}`)"""
HIDDEN = """[...document.querySelectorAll("h1, td.last")].filter(part => {
  const box = part.getBoundingClientRect();
  return box.left < 0 || box.right > innerWidth || box.width === 0 })
  .map(part => part.innerText)"""


def test_each_cell_of_a_table_of_cards_is_headed_by_its_columns_name():
    page = label_cells(
        '<table class="cards"><thead><tr><th>model</th><th>latency<br>ms</th><th></th></tr></thead>'
        "<tbody><tr><th>a &amp; b</th><td class='x'>0.3</td><td></td></tr></tbody></table><table><td>it</td></table>"
    )
    assert """<th>a &amp; b</th><td data-label="latency ms" class='x'>0.3</td><td></td>""" in page
    assert page.endswith("<table><td>it</td></table>")


@pytest.mark.skipif(not chromium.path(), reason="no Chromium here")
def test_no_column_is_cut_and_no_verdict_hidden_on_any_screen(report, tmp_path: Path):
    page_file = tmp_path / "report.html"
    page_file.write_text(render_page(report), encoding="utf-8")
    with chromium.browser(tmp_path / "profile") as page:
        for width in (420, 768, 1024, 1280, 1920):
            page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=1200, deviceScaleFactor=1, mobile=width < 800
            )
            page.open(page_file.as_uri())
            page.wait("document.readyState === 'complete'")
            page.run("document.querySelectorAll('details').forEach(part => part.open = true)")
            assert page.run(CUT) == [], width
            assert page.run(HIDDEN) == [], width
            assert page.run("document.documentElement.scrollWidth <= innerWidth"), width
