"""A verdict is told in the same word wherever a person or a program meets it."""

import html
import io
import re
from typing import Any

import pytest
from rich.console import Console

from hone.flows.compare import comparison_table
from hone.flows.embedded import _show
from hone.flows.outcome import state_of, tag_of
from hone.tasks.contracts import Check, SessionSettings, Verdict
from hone.tasks.register.evidence import evidence_tags
from hone.tasks.report.compare import compare
from hone.tasks.report.page import render_page
from hone.tasks.report.summary import summary_markdown
from hone.tasks.report.task import note

REPORTS = {"ACCEPTED": "report", "REJECTED": "rejected", "INCONCLUSIVE": "inconclusive"}
WORD = re.compile("|".join(REPORTS), re.I)
OTHER_WORDS = re.compile(r"\b(pass|passe[sd]|fail|fails|failed|approved|denied|refused|undecided|unclear|ok)\b", re.I)
SESSION = SessionSettings(providers=["cpu"], threads=1, memory_arena=True)


@pytest.fixture(params=REPORTS)
def verdict(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def places(verdict: str, request: pytest.FixtureRequest, results: dict[str, Any]) -> dict[str, str]:
    """All that is said of one verdict, by the place where it is said."""
    report = request.getfixturevalue(REPORTS[verdict])
    checks = [Check(**check) for check in report["checks"]]
    decided = results["verdict"].model_copy(update={"verdict": verdict, "checks": checks})
    assert isinstance(decided, Verdict)
    page = re.sub(r"<style.*?</style>|<svg.*?</svg>|<[^>]+>", " ", render_page(report), flags=re.S)
    tags = evidence_tags(
        results["data"],
        results["exported"].models[-1],
        results["evaluation"],
        decided,
        session=SESSION,
        pipeline_run_id="run",
        task="text-classification",
    )
    return {
        "page": html.unescape(page),
        "terminal": printed(lambda console: _show(console, report)),
        "comparison": printed(lambda console: console.print(comparison_table(compare(report, report), "a", "b"))),
        "Prefect's artifact": summary_markdown(report),
        "Prefect's message": str(state_of(verdict, decided.headline(), report).message),
        "Prefect's tag": tag_of(verdict),
        "MLflow's note": note(decided, "reviews/4", ""),
        "the registry's tag": tags["hone.verdict"],
    }


def printed(show: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_first_verdict_that_is_named_anywhere_is_the_runs_own(places: dict[str, str], verdict: str) -> None:
    assert {place: WORD.findall(said)[0].upper() for place, said in places.items()} == dict.fromkeys(places, verdict)


def test_no_place_has_another_word_for_a_verdict(places: dict[str, str]) -> None:
    assert {place: found for place, said in places.items() if (found := OTHER_WORDS.findall(said))} == {}


def test_programs_meet_a_verdict_in_one_spelling(places: dict[str, str], verdict: str) -> None:
    assert places["the registry's tag"] == verdict
    assert places["Prefect's tag"] == f"hone:{verdict.lower()}"
    assert places["Prefect's message"].partition(":")[0] == verdict
