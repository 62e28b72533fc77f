import re
from html.parser import HTMLParser

import pytest
import yaml

from configs.recipe import parse_recipe
from tasks.report.page import MOST_CONFUSIONS, confusion, render_page, spread

VOID = {"meta", "br", "path", "use"}


class Outline(HTMLParser):
    """Checks that every tag is closed where it should be, and gathers texts by element and ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    assert parsed.open == []
    return parsed


def text_of(html: str) -> str:
    without = re.sub(r"<style.*?</style>|<svg.*?</svg>|<[^>]+>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", without)


def test_the_verdict_comes_first_and_names_the_model(report):
    html = render_page(report)
    assert outline(html).texts["h1"] == ["Accepted"]
    assert text_of(html).index("The model quantized meets all 2 thresholds.") < text_of(html).index("Checks")


def test_a_rejection_says_what_failed_and_what_was_asked(rejected):
    html = render_page(rejected)
    assert outline(html).texts["h1"] == ["Rejected"]
    assert (
        "The model quantized fails 2 of 2 checks: accuracy kept of the teacher&#39;s is not measured where "
        "at least 97.00% is asked; speed-up over the teacher in ONNX Runtime is 1.20× where at least 6.00× is asked."
    ) in text_of(html)
    assert "Not registered: the verdict is REJECTED." in text_of(html)
    assert "3 rows were answered with something that is not a number" in text_of(html)


def test_nothing_is_fetched_from_outside(report):
    html = render_page(report)
    assert not re.search(r"https?:|//\w|@import|<script|<link|<img|<iframe|url\((?!#)", html)
    assert not re.search(r'(?:src|href)="(?!#)', html)


def test_no_id_stands_twice(report):
    ids = outline(render_page(report)).ids
    assert len(ids) == len(set(ids))


def test_the_page_is_the_same_when_made_twice(report):
    assert render_page(report) == render_page(report)


def test_text_from_the_data_is_text_and_never_markup(report):
    report["data"]["labels"] = ["<script>alert(1)</script>", "a & b"]
    report["stages"][1]["reason"] = 'train.note "<b>" -> null'
    html = render_page(report)
    outline(html)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "a &amp; b" in html


def test_every_model_and_every_stage_stands_on_the_page(report):
    found = text_of(render_page(report))
    for expected in (
        "teacher (PyTorch)",
        "floor (TF-IDF)",
        "90.9 MB",
        "8.06×",
        "prune.method is none",
        "empty text 12",
    ):
        assert expected in found


def test_notes_of_any_shape_are_shown(report):
    report["notes"]["prune"] = {"heads_kept": [[0, 2], [1]], "kept": list(range(50)), "share": 0.123456, "none": None}
    found = text_of(render_page(report))
    assert "heads kept [0, 2], [1]" in found
    assert "38, 39 … and 10 more in report.json" in found
    assert "share 0.1235" in found


def test_the_recipe_on_the_page_is_the_recipe(report, recipe):
    html = render_page(report)
    source = re.search(r"<pre>(.*?)</pre>", html, flags=re.S)[1]
    assert parse_recipe(yaml.safe_load(source.replace("&#39;", "'").replace("&#34;", '"'))) == recipe


def test_light_is_the_default_dark_follows_the_system_and_paper_is_light(report):
    html = render_page(report)
    assert "@media screen and (prefers-color-scheme: dark)" in html
    assert "@media print" in html


def test_a_chain_that_made_nothing_and_asks_nothing_still_has_a_page(report):
    teacher = report["candidates"][1] | {"latency": [], "speedup": 0.0, "metrics": {}, "confusion": []}
    report |= {"candidates": [teacher], "selected": "teacher", "checks": [], "curves": {}, "notes": {}, "parity": {}}
    report["machine"], report["data"]["bad_rows"] = {}, []
    html = render_page(report)
    outline(html)
    assert "The recipe sets no threshold, so teacher had none to meet." in text_of(html)
    assert "<svg" not in html


def test_a_confusion_of_few_labels_is_a_matrix_and_of_many_a_list_of_the_worst():
    few = confusion([[45, 5], [7, 43]], ["no", "yes"])
    assert few["as_matrix"]
    assert few["shares"] == [[0.9, 0.1], [0.14, 0.86]]
    assert few["mistakes"] == [("yes", "no", 7, 0.14), ("no", "yes", 5, 0.1)]
    many = confusion(
        [[80 if row == column else row for column in range(20)] for row in range(20)], list("abcdefghijklmnopqrst")
    )
    assert not many["as_matrix"]
    assert len(many["mistakes"]) == MOST_CONFUSIONS
    assert many["mistakes"][0][:3] == ("t", "a", 19)


def test_many_labels_are_listed_on_the_page(report):
    report["data"]["labels"] = [f"label {place}" for place in range(20)]
    report["candidates"][3]["confusion"] = [[9 if row == column else 1 for column in range(20)] for row in range(20)]
    found = text_of(render_page(report))
    assert "The most frequent mistakes of quantized among 20 labels." in found


def test_spread_is_the_largest_distance_between_rounds_as_a_share_of_the_median():
    def cell(median, rounds):
        return {"p50_ms": median, "round_p50_ms": rounds}

    assert spread({"latency": [cell(2.0, [1.9, 2.1]), cell(10.0, [9.0, 10.0, 12.0])]}) == pytest.approx(0.3)
    assert spread({"latency": [cell(2.0, [2.0])]}) is None
