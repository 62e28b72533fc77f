"""The page as people see it: in a real browser, on phones and wide screens, and on paper."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hone.tasks.report.narrow import label_cells
from hone.tasks.report.page import render_page
from tests.flows import chromium
from tests.report.conftest import check_of

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


FAINT = """(() => {
  const one = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const bytes = colour => {
    one.clearRect(0, 0, 1, 1); one.fillStyle = colour; one.fillRect(0, 0, 1, 1);
    return [...one.getImageData(0, 0, 1, 1).data];
  };
  const light = colour => bytes(colour).slice(0, 3).map(byte => byte / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = part => {
    for (; part; part = part.parentElement) {
      const colour = getComputedStyle(part).backgroundColor;
      if (bytes(colour)[3] === 255) return colour;
    }
    return 'white';
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = {all: 0, faint: []};
  while (texts.nextNode()) {
    const part = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !part.checkVisibility() || part.closest('style, title')) continue;
    const style = getComputedStyle(part), size = parseFloat(style.fontSize);
    const ink = part.closest('svg') ? style.fill : style.color;
    const [low, high] = [light(ink), light(behind(part))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    found.all += 1;
    const told = `${texts.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`;
    if (ratio < (large ? 3 : 4.5)) found.faint.push(told);
  }
  return {...found, paper: light(behind(document.body))};
})()"""
"""What the Web Content Accessibility Guidelines 2.2 (1.4.3, level AA) call too faint, and how light the paper is."""

BEYOND = """[...document.querySelectorAll("main *")]
  .filter(part => part.getBoundingClientRect().right > innerWidth + 1).map(part => part.outerHTML.slice(0, 120))"""
FOLDED = "[...document.querySelectorAll('details:not([open]) > :not(summary)')]"
A4 = {"width": 688, "height": 1000}
"""Pixels between the margins that the page asks for: 210 mm less twice 14 mm, at 96 in an inch."""


@pytest.fixture
def shown(inconclusive, tmp_path: Path) -> Iterator[chromium.Page]:
    """The report of a run in which something was open, something was refused and the rest was accepted."""
    check_of(inconclusive, "speedup").update(verdict="REJECTED", value=1.2, low=1.1, high=1.3)
    page_file = tmp_path / "report.html"
    page_file.write_text(render_page(inconclusive), encoding="utf-8")
    with chromium.browser(tmp_path / "profile") as page:
        page.open(page_file.as_uri())
        page.wait("document.readyState === 'complete' && document.querySelector('h1') !== null")
        yield page


def look(page: chromium.Page, media: str, scheme: str, width: int, height: int) -> None:
    """Shows the page on a screen or on paper, to somebody whose system is light or dark."""
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    page.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])


@pytest.mark.skipif(not chromium.path(), reason="no Chromium here")
def test_every_word_stands_out_from_its_ground_in_light_in_dark_and_on_paper(shown: chromium.Page) -> None:
    shown.run("document.querySelectorAll('details').forEach(part => part.open = true)")
    for media, scheme, paper in (("screen", "light", 0.95), ("screen", "dark", 0.02), ("print", "dark", 1.0)):
        look(shown, media, scheme, 1280, 1200)
        found = shown.run(FAINT)
        assert found["faint"] == [], (media, scheme)
        assert found["all"] > 300
        assert found["paper"] == pytest.approx(paper, abs=0.03), (media, scheme)  # paper is white, whatever the screen


@pytest.mark.skipif(not chromium.path(), reason="no Chromium here")
def test_no_column_is_cut_on_paper(shown: chromium.Page) -> None:
    look(shown, "print", "light", **A4)
    assert shown.run(CUT) == []
    assert shown.run(HIDDEN) == []
    assert shown.run(BEYOND) == []


@pytest.mark.skipif(not chromium.path(), reason="no Chromium here")
def test_what_is_folded_away_on_a_screen_is_there_on_paper(shown: chromium.Page) -> None:
    assert shown.run(f"{FOLDED}.some(part => part.checkVisibility({{contentVisibilityAuto: true}}))") is False
    look(shown, "print", "light", **A4)
    assert shown.run(f"{FOLDED}.length") > 3
    assert shown.run(f"{FOLDED}.filter(part => !part.checkVisibility()).map(part => part.outerHTML)") == []
    printed = shown.call("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))) <= 20
