"""Cron expressions: what a recipe accepts Prefect's own parser accepts too, and what never comes due is refused."""

import re

import pytest
from prefect._vendor.croniter import croniter

from hone.configs.recipe import RecipeError, parse_recipe
from hone.configs.schedule import CRON_PATTERN, cron_problem

BASE = {"data": {"train": "a.csv"}, "model": {"source": "a"}}
RIGHT = [
    "0 3 * * *",
    "*/15 * * * *",
    "05 09 1,15 * *",
    "0 0 29 feb *",
    "0 6-18/2 * * MON-FRI",
    "59 23 31 12 7",
    "5/20 * * * *",
]
WRONG = ["99 99 * * *", "0 24 * * *", "0 3 * *", "0 3 0 * *", "0 3 * 13 *", "0 3 * * 8", "a b c d e", "0 3 * * * *"]


@pytest.mark.parametrize("expression", RIGHT)
def test_a_right_expression_is_taken_by_the_recipe_the_form_and_prefects_parser(expression: str) -> None:
    assert cron_problem(expression) == ""
    assert re.search(CRON_PATTERN, expression)
    assert croniter.is_valid(expression)
    assert parse_recipe({**BASE, "retrain": {"cron": expression}}).retrain.cron == expression


@pytest.mark.parametrize("expression", WRONG)
def test_a_wrong_one_is_refused_by_the_recipe_and_by_the_form(expression: str) -> None:
    assert not re.search(CRON_PATTERN, expression)
    with pytest.raises(RecipeError, match=rf"retrain\.cron = '{re.escape(expression)}': "):
        parse_recipe({**BASE, "retrain": {"cron": expression}})


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("0 25 * * *", "'25' is no hour: use *, numbers from 0 to 23"),
        ("0 3 * * 5-1", "'5-1' is no day of week: a range goes from the smaller to the larger"),
        ("0 0 31 2,4 *", "it never comes due: no month that it names has a day 31"),
    ],
)
def test_the_reason_names_the_field(expression: str, reason: str) -> None:
    assert reason in cron_problem(expression)


def test_no_schedule_is_none() -> None:
    assert (cron_problem(""), bool(re.search(CRON_PATTERN, ""))) == ("", True)
