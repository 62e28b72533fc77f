import io

from rich.console import Console

from tasks.report.summary import summary_markdown, summary_rows, summary_table


def test_the_table_has_a_row_for_each_model(report):
    heads, rows = summary_rows(report)
    assert heads == ["model", "accuracy", "size", "p50 ms 1x32", "speed-up"]
    assert rows[1] == ["teacher", "90.00%", "91.0 MB", "5.40", "1.00×"]
    assert rows[3] == ["quantized", "88.50%", "11.6 MB", "0.67", "8.06×"]
    assert len(rows) == 5


def test_latency_is_quoted_at_the_first_cell_where_1x32_was_not_measured(report):
    for candidate in report["candidates"]:
        candidate["latency"] = [cell for cell in candidate["latency"] if cell["length"] != 32]
    heads, rows = summary_rows(report)
    assert heads[3] == "p50 ms 1x16"
    assert rows[1][3] == "2.70"


def test_what_was_not_measured_is_a_dash(rejected):
    rejected["candidates"][3] |= {"latency": [], "speedup": 0.0}
    assert summary_rows(rejected)[1][3] == ["quantized", "–", "11.6 MB", "–", "–"]


def test_the_terminal_shows_the_table_on_one_line_a_model(report):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table(report))
    lines = console.export_text().splitlines()
    assert len(lines) == 6
    assert lines[4].split() == ["quantized", "88.50%", "11.6", "MB", "0.67", "8.06×"]


def test_markdown_says_the_verdict_the_models_and_the_checks(report):
    text = summary_markdown(report)
    assert text.startswith("# ACCEPTED: quantized\n")
    assert "| **quantized** | 88.50% | 11.6 MB | 0.67 | 8.06× |" in text
    assert "| Speed-up over the teacher in ONNX Runtime | 8.06× | at least 6.00× | ACCEPTED |" in text


def test_markdown_without_checks_has_one_table(report):
    report["checks"] = []
    assert summary_markdown(report).count("| --- |") == 1
