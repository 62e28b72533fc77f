import re
from html.parser import HTMLParser

import pytest
import yaml

from hone.configs.recipe import parse_recipe
from hone.tasks.report.page import MOST_CONFUSIONS, confusion, render_page, spread
from hone.tasks.report.summary import summary_markdown
from tests.report.conftest import check_of, told

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
    found = text_of(html)
    assert found.index("The model quantized is accepted by all 13 checks.") < found.index("Checks")
    assert "Registered as reviews version 4 , alias challenger." in found
    assert "Compared with the champion, reviews version 3 ." in found
    assert "Promoted by alice: the champion was version 3 and is version 4 ." in found


def test_a_rejection_says_what_failed_and_what_was_asked(rejected):
    html = render_page(rejected)
    assert outline(html).texts["h1"] == ["Rejected"]
    found = text_of(html)
    for expected in (
        "The model quantized is rejected by 2 of 13 checks:",
        "Accuracy against the teacher&#39;s: not measured; asked: no more than 2.00 points below. One of the two",
        "Speed-up over the best dense teacher: 1.20×, upper bound 1.30× at level 5%; asked: at least 6.00×.",
        "Not registered: the verdict is REJECTED.",
        "Not promoted: the verdict is REJECTED.",
        "3 rows were answered with something that is not a number",
    ):
        assert expected in found


def test_an_open_verdict_says_what_would_settle_it(inconclusive):
    html = render_page(inconclusive)
    assert outline(html).texts["h1"] == ["Inconclusive"]
    assert '<h1 class="inconclusive">' in html
    found = text_of(html)
    assert "The model quantized is accepted by 12 of 13 checks and rejected by none." in found
    assert "About 2,400 rows would settle it".lower() in found[: found.index("Checks")].lower()


def test_every_check_with_an_interval_is_drawn_and_no_other(report):
    drawn = re.findall(r'<svg class="interval \w+"', render_page(report))
    assert len(drawn) == sum(check["low"] is not None for check in [*report["checks"], *report["slices"]]) == 8


def test_comparisons_with_other_models_share_one_scale(report):
    check_of(report, "accuracy_difference", "champion")["low"] = -0.05
    html = render_page(report)
    drawn = re.findall(r'asked: no more than 2.00 points below">.*?class="threshold" d="M([\d.]+) ', html)
    assert len(drawn) == 3
    assert len(set(drawn)) == 1


def test_a_small_slice_is_told_and_not_decided(report):
    html = render_page(report)
    row = next(row for row in re.findall(r"<tr>.*?</tr>", html, flags=re.S) if "genre = travel" in row)
    assert "not decided" in row
    assert 'class="interval told"' in row


def test_the_page_says_where_the_nodes_ran_and_what_each_hand_off_changed(report):
    found = text_of(render_page(report))
    for expected in (
        "quantized CUDA, CPU CPU 87 on CPU 87 node_0, node_1, node_2, node_3, node_4, …",
        "quantized pytorch → fake-quantised rounded 0.21 10.500% 98.00% −1.00 – ✓",
        "answered 32 of 32 golden requests as expected (largest difference of a probability 2e-07)",
        "It was ready after 0.21 s and took 181 MB at most.",
        "Quantised with the dynamic scheme; classifier stays in higher precision",
        "fastest with fp32, 1 thread at 1×16, 1×32; fp32, 2 threads at 32×32.",
    ):
        assert expected in found


def test_a_hand_off_that_fails_names_the_layer(report):
    report["handoffs"][3]["first_divergence"] = "encoder.layer.1"
    next(check for check in report["checks"] if "fake-quantised → onnx" in check["subject"])["verdict"] = "REJECTED"
    assert "integer 0.018 0.890% 100.00% 0.00 encoder.layer.1 ✗" in text_of(render_page(report))


def test_rows_lost_and_won_are_shown_with_what_both_said(report):
    html = render_page(report)
    assert "a fine &lt;b&gt;film&lt;/b&gt; that never quite comes alive" in html
    found = text_of(html)
    assert "Lost against the teacher: 3 rows" in found
    assert "Won against the teacher: 1 row The teacher is wrong where quantized is right." in found
    assert "asked at the door" in found


def test_a_99th_percentile_of_few_calls_is_not_told(report):
    found = text_of(render_page(report))
    assert re.search(r"teacher 1×16 2\.70 2\.88 3\.09 300 ", found)
    assert re.search(r"1×32 5\.40 5\.76 – 150 ", found)


def test_nothing_is_fetched_from_outside(report):
    html = render_page(report)
    assert not re.search(r"https?:|//\w|@import|<script|<link|<img|<iframe|url\((?!#)", html)
    assert not re.search(r'(?:src|href)="(?!#)', html)


def test_no_id_stands_twice(report):
    ids = outline(render_page(report)).ids
    assert len(ids) == len(set(ids))


@pytest.mark.usefixtures("drawn_anew")
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
        "baseline (TF-IDF)",
        "90.9 MB",
        "8.06×",
        "prune.method is none",
        "empty text 12",
    ):
        assert expected in found


def test_a_model_with_one_answer_is_warned_of_on_the_page_and_in_the_terminal(results):
    warning = "the teacher predicts '<b>good</b>' for all 90 validation rows"
    teacher, *others = results["models"]
    warned = teacher.checkpoint.model_copy(update={"warnings": [warning]})
    report = told(results, models=[teacher.model_copy(update={"checkpoint": warned}), *others])
    assert report["warnings"] == [warning]
    page = render_page(report)
    assert '<p class="lede">The teacher predicts &#39;&lt;b&gt;good&lt;/b&gt;&#39; for all 90 validation rows:' in page
    assert f"- – {warning}" in summary_markdown(report)
    assert warning in warned.headline()
    assert "learned nothing" not in render_page({**report, "warnings": []})


def test_notes_of_any_shape_are_shown(report):
    report["notes"]["quantize"] = {"sensitivity": {"pooler": {"accuracy_lost": 0.01, "logit_error": 0.5}}}
    assert "1 entry accuracy lost logit error pooler 0.01 0.5" in text_of(render_page(report))
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
    teacher |= {"size_bytes": 0, "placement": None}
    report |= {"candidates": [teacher], "selected": "teacher", "checks": [], "curves": {}, "notes": {}}
    report |= {"slices": [], "handoffs": [], "serving": None, "promotion": None}
    report["examples"] = {"lost": [], "won": [], "lost_rows": 0, "won_rows": 0}
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
