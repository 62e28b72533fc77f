import io

import pytest
from rich.console import Console
from rich.text import Text

from hone.tasks.report.page import render_page
from hone.tasks.report.plots import draw
from hone.tasks.report.summary import check_lines, summary_markdown, summary_rows, summary_table


def plain(markup: str) -> str:
    return Text.from_markup(markup).plain


def test_the_table_has_a_row_for_each_model(report):
    heads, rows = summary_rows(report)
    assert heads == ["model", "accuracy", "size", "p50 ms 1x32", "from text", "speed-up", "per core"]
    assert rows[1] == ["teacher", "90.00%", "91.0 MB", "5.40", "5.45", "1.00×", "1.00×"]
    assert rows[3] == ["quantized", "88.50%", "11.6 MB", "0.67", "0.72", "8.06×", "12.09×"]
    assert rows[4][3:] == ["–", "0.30", "18.00×", "–"]
    assert len(rows) == 5


def test_latency_is_quoted_at_the_first_cell_where_1x32_was_not_measured(report):
    for candidate in report["candidates"]:
        candidate["latency"] = [cell for cell in candidate["latency"] if cell["length"] != 32]
    heads, rows = summary_rows(report)
    assert heads[3] == "p50 ms 1x16"
    assert rows[1][3] == "2.70"


def test_what_was_not_measured_is_a_dash(rejected):
    rejected["candidates"][3] |= {"latency": [], "speedup": 0.0, "speedup_per_core": 0.0}
    assert summary_rows(rejected)[1][3] == ["quantized", "–", "11.6 MB", "–", "–", "–", "–"]


def test_the_terminal_shows_the_table_on_one_line_a_model(report):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table(report))
    lines = console.export_text().splitlines()
    assert len(lines) == 6
    assert lines[4].split() == ["quantized", "88.50%", "11.6", "MB", "0.67", "0.72", "8.06×", "12.09×"]


def test_markdown_says_the_verdict_the_models_and_the_checks(report):
    text = summary_markdown(report)
    assert text.startswith("## ACCEPTED: quantized\n")
    assert "| **quantized** | 88.50% | 11.6 MB | 8.06× |" in text
    speed = "- ✓ Speed-up over the best dense teacher: 8.06×, lower bound 7.61× at level 5%; asked: at least 6.00×\n"
    assert speed in text
    assert "- ✓ Parity at 4 hand-offs\n" in text


def test_markdown_says_what_would_settle_an_open_check(inconclusive):
    assert "about 2,400 rows would settle it." in summary_markdown(inconclusive)


def test_the_terminal_has_a_line_for_each_check_and_one_for_those_that_are_alike(report):
    assert [plain(line) for line in check_lines(report)] == [
        "✓ Size, as a share of the teacher's: 12.75%; asked: at most 50.00%",
        "✓ Accuracy against the teacher's: −0.42 points, lower bound −1.31 at level 5%; "
        "asked: no more than 2.00 points below",
        "✓ Accuracy against the champion's: +0.30 points, lower bound −0.60 at level 5%; "
        "asked: no more than 2.00 points below",
        "✓ Accuracy with typos, against the teacher's: −0.60 points, lower bound −1.70 at level 5%; "
        "asked: no more than 2.00 points below",
        "✓ Accuracy above TF-IDF's: +8.50 points, lower bound +5.00 at level 5%; asked: above 0 points",
        "✓ Speed-up over the best dense teacher: 8.06×, lower bound 7.61× at level 5%; asked: at least 6.00×",
        "✓ Parity at 4 hand-offs",
        "✓ Golden requests answered: 32 of 32; asked: all of them",
        "✓ 2 slices, each no more than 5.00 points below the teacher (1 more too small to decide)",
    ]


def test_an_open_check_has_its_own_mark_and_says_what_would_settle_it(inconclusive):
    lines = [plain(line) for line in check_lines(inconclusive)]
    place = next(
        place for place, line in enumerate(lines) if line.startswith("? Accuracy against the teacher's: −1.42")
    )
    assert lines[place + 1].strip().endswith("about 2,400 rows would settle it")


def test_what_is_not_accepted_is_told_one_by_one_beside_what_is(report):
    bad = next(check for check in report["checks"] if check["name"] == "parity")
    bad |= {"verdict": "REJECTED", "value": 0.5, "detail": "first different at encoder.layer.1"}
    report["slices"] += [report["slices"][1] | {"subject": "genre = [film]", "verdict": "REJECTED", "detail": "lost"}]
    lines = [plain(line) for line in check_lines(report)]
    for expected in (
        "✗ Parity of teacher, pytorch → onnx (cpu): 0.5; asked: logits at most 0.001 apart",
        "  first different at encoder.layer.1",
        "✓ Parity at 3 of 4 hand-offs",
        "✓ 2 of 3 slices, each no more than 5.00 points below the teacher (1 more too small to decide)",
        "  lost",
    ):
        assert expected in lines
    assert any(line.startswith("✗ Slice genre = [film]: −1.00 points") for line in lines)


def test_slices_of_which_none_decides_are_told(report):
    report["slices"] = [part | {"decides": False} for part in report["slices"]]
    assert plain(check_lines(report)[-1]) == "– no slice decides: all 3 have fewer rows than gate.min_slice_rows"


@pytest.mark.parametrize(("load", "said"), [(0.02, False), (0.27, True)])
def test_other_work_on_the_machine_stands_beside_the_speed(report, load, said):
    report["machine"]["background_load"] = load
    lines = [plain(line) for line in check_lines(report)]
    place = next(place for place, line in enumerate(lines) if line.startswith("✓ Speed-up"))
    assert (lines[place + 1] == "  other processes took 27% of the machine meanwhile") == said
    assert ("(other processes took 27% of the machine meanwhile)" in summary_markdown(report)) == said


def test_markdown_without_checks_is_the_verdict_and_the_table(report):
    report["checks"], report["slices"] = [], []
    heading, table = summary_markdown(report).split("\n\n")
    assert heading == "## ACCEPTED: quantized"
    assert table.startswith("| model |")


def test_a_report_of_another_task_tells_its_own_metric_in_its_unit(report):
    report["metrics"] = [{"name": "rmse", "title": "error", "better": "lower", "unit": "°C"}]
    for candidate in report["candidates"]:
        candidate["metrics"] = {"rmse": 0.531}
    heads, rows = summary_rows(report)
    assert heads[1] == "error"
    assert {row[1] for row in rows} == {"0.531 °C"}
    page = render_page(report, draw(report))
    assert "Test error" in page
    assert "Test error against latency of every model" in page
