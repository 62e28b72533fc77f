"""A flow run from the terminal, with no server needed: what the `hone optimize` command does around the flow."""

from typing import Any

from rich.console import Console

from configs.recipe import Recipe
from flows.environment import prepare_prefect_database
from flows.optimize import optimize
from flows.preflight import preflight
from flows.shell import complain, no_heartbeat, quieten
from flows.terminal import Terminal
from tasks import progress
from tasks.errors import HoneError
from tasks.report.summary import check_lines, summary_table


def run_optimize(recipe: Recipe, output: str, fresh: bool, console: Console) -> str:
    """Checks the recipe, runs the flow, and prints the table, the verdict and the path of the report.

    Returns:
        The verdict's name, FAILED, or INVALID where something the recipe names is not there.
    """
    quieten()
    try:
        preflight(recipe)
        prepare_prefect_database()
        with Terminal(console) as terminal, progress.listening(terminal), no_heartbeat():
            report: dict[str, Any] = _flow(recipe, output, fresh, return_state=True).result()
    except HoneError as error:
        return complain(console, error)
    console.print()
    console.print(summary_table(report))
    console.print()
    for line in check_lines(report):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"\n[bold]{report['verdict']}[/]  {report['selected']}", highlight=False)
    console.print(
        f"report  {report['folder']}/report.html\nmodel   {report['folder']}/model", soft_wrap=True, highlight=False
    )
    return str(report["verdict"])


# Prefect returns the state for `return_state=True`, which its types do not say of a flow that returns one itself.
_flow: Any = optimize
