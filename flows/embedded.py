"""A run from the terminal, with no server needed: what `hone optimize` and `hone retrain` do around their flows."""

from typing import Any

from rich.console import Console
from rich.text import Text

from hone.configs.recipe import Recipe, RecipeError
from hone.flows.local_server import prefect_api
from hone.flows.preflight import preflight
from hone.flows.shell import no_heartbeat, print_error, silence_engines
from hone.flows.terminal import Terminal
from hone.tasks import progress
from hone.tasks.drift.table import drift_table
from hone.tasks.errors import HoneError
from hone.tasks.report.summary import check_lines, summary_table


def run_optimize(recipe: Recipe, output: str, fresh: bool, console: Console) -> str:
    """Checks the recipe, runs the flow, and prints the table, the verdict and the path of the report.

    Returns:
        The verdict's name, FAILED, or INVALID where something the recipe names is not there.
    """
    from hone.flows.optimize import optimize

    return _run(optimize, recipe, output, fresh, console)


def run_retrain(recipe: Recipe, output: str, force: bool, console: Console) -> str:
    """As `run_optimize`, if there is something new to learn.

    Returns:
        As `run_optimize`, or UNCHANGED or COOLING DOWN where there is not.
    """
    from hone.flows.retrain import retrain

    return _run(retrain, recipe, output, force, console)


def _run(flow: Any, recipe: Recipe, output: str, anew: bool, console: Console) -> str:
    silence_engines()
    try:
        preflight(recipe, output)
        with prefect_api(), Terminal(console) as terminal, progress.listening(terminal), no_heartbeat():
            state = flow(recipe, output, anew, return_state=True)
        report = _report(state)
    except (HoneError, RecipeError) as error:
        return print_error(error)
    if not report:
        outcome, _, message = str(state.message).partition(": ")
        console.print(Text(outcome, "bold") + Text(f"  {message}"), soft_wrap=True)
        return outcome
    _show(console, report)
    return str(report["verdict"])


def _report(state: Any) -> dict[str, Any]:
    """What a run found out; empty where there was nothing to do.

    Raises:
        Exception: what ended it.
    """
    from hone.flows.outcome import NotAcceptedError

    result = state.result(raise_on_failure=False)
    if isinstance(result, NotAcceptedError):
        return result.report
    if isinstance(result, BaseException):
        raise result
    return dict(result)


def _show(console: Console, report: dict[str, Any]) -> None:
    if report["drift"] and report["drift"]["parts"]:
        console.print()
        console.print(drift_table(report["drift"]))
    console.print()
    console.print(summary_table(report))
    console.print()
    for line in check_lines(report):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(Text(f"\n{report['verdict']}", "bold") + Text(f"  {report['selected']}"), soft_wrap=True)
    where = f"report  {report['folder']}/report.html\nmodel   {report['folder']}/model"
    console.print(where, markup=False, highlight=False, soft_wrap=True)
