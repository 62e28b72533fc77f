"""What is said of test rows that are too few, before anything is trained on it."""

import re

import pytest

from hone.tasks.gate.advice import too_few_rows
from hone.tasks.gate.exact import exact_low


@pytest.mark.parametrize(("rows", "margin"), [(94, 0.02), (30, 0.1), (700, 0.005)])
def test_rows_that_cannot_show_the_margin_are_told_with_how_many_could(rows: int, margin: float) -> None:
    told = too_few_rows(rows, margin, 0.025)
    found = re.search(r"lower bound of (-[0-9.]+) points. It takes about ([0-9,]+) .* margin above ([0-9.]+)", told)
    assert found is not None, told
    assert float(found[1]) == pytest.approx(100 * exact_low(0, 0, rows, 0.025), abs=0.01)
    enough = int(found[2].replace(",", ""))
    assert exact_low(0, 0, enough, 0.025) >= -margin > exact_low(0, 0, int(0.95 * enough), 0.025)
    assert too_few_rows(enough, margin, 0.025) == ""
    assert too_few_rows(rows, float(found[3]) + 0.001, 0.025) == ""


def test_rows_that_can_show_the_margin_are_no_matter() -> None:
    assert too_few_rows(1000, 0.02, 0.025) == ""
