"""A flow run from the terminal, with no server needed: what the `hone optimize` command does around the flow."""

import contextlib
import logging
import warnings
from typing import Any

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console

from configs.recipe import Recipe
from flows.environment import prepare_prefect_database
from flows.optimize import optimize
from flows.preflight import preflight
from flows.terminal import Terminal
from tasks import progress
from tasks.errors import HoneError, PreflightError
from tasks.report import wording
from tasks.report.summary import summary_table


def run_optimize(recipe: Recipe, output: str, fresh: bool, console: Console) -> str:
    """Checks the recipe, runs the flow, and prints the table, the verdict and the path of the report.

    Returns:
        The verdict's name, FAILED, or INVALID where something the recipe names is not there.
    """
    _quieten()
    try:
        preflight(recipe)
        prepare_prefect_database()
        with Terminal(console) as terminal, progress.listening(terminal), _no_heartbeat():
            report: dict[str, Any] = _flow(recipe, output, fresh, return_state=True).result()
    except PreflightError as error:
        return _complain(console, "INVALID", error)
    except HoneError as error:
        return _complain(console, "FAILED", error)
    console.print()
    console.print(summary_table(report))
    console.print()
    for check in report["checks"]:
        mark = "[green]✓[/]" if check["verdict"] == "ACCEPTED" else "[red]✗[/]"
        value = wording.measured(check["value"], check["unit"])
        console.print(f"{mark} {wording.check_name(check)}: {value}, {wording.check_demand(check)}", highlight=False)
    console.print(f"\n[bold]{report['verdict']}[/]  {report['selected']}", highlight=False)
    console.print(
        f"report  {report['folder']}/report.html\nmodel   {report['folder']}/model", soft_wrap=True, highlight=False
    )
    return str(report["verdict"])


# Prefect returns the state for `return_state=True`, which its types do not say of a flow that returns one itself.
_flow: Any = optimize


def _complain(console: Console, outcome: str, error: HoneError) -> str:
    console.print(f"[red]{type(error).__name__}[/] ", end="")
    console.print(str(error), markup=False, highlight=False, soft_wrap=True)
    return outcome


@contextlib.contextmanager
def _no_heartbeat() -> Any:
    # The heartbeat tells a server's automations that a worker lives, and costs an embedded flow a second.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def _quieten() -> None:
    for name in ("torchao", "torch.utils._pytree", "torch.distributed.elastic", "ray", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|transformers|ray|mlflow|onnxscript)\b.*")
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
