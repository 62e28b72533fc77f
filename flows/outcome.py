"""How a run ends in Prefect: in a state of Prefect's own names, with what came of it in message, tags and name.

Only what is ACCEPTED, or had nothing to do, ends as Completed. REJECTED and INCONCLUSIVE end as Failed with a tag of
their own, `hone:rejected` or `hone:inconclusive`; a run that could not finish ends as Failed with the tag `hone:error`.
"""

import functools
import inspect
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

import coolname.data
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.logging.loggers import get_logger
from prefect.states import Completed, Failed, State
from rich.text import Text

from hone.configs.recipe import Recipe, RecipeError, parse_recipe
from hone.flows.form import completed
from hone.tasks.errors import HoneError
from hone.tasks.redact import without_credentials
from hone.tasks.report.summary import check_lines

TAG = "hone"
"""On every run of Hone, and on its deployments: automations and filters know them by it."""
GOOD = ("ACCEPTED", "UNCHANGED", "COOLING DOWN")
GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|"
    "nu|xi|omicron|pi|rho|sigma|tau|upsilon|phi|chi|psi|omega"
)
PAGE_NAME = re.compile(rf"^({GREEK})\d*-[a-z]+(-[a-z]+)*$")
"""Names that Prefect's run form fills in, such as alpha3-orionis-void."""

Body = TypeVar("Body", bound=Callable[..., Any])


class NotAcceptedError(Exception):
    """The end of a run that came to a verdict other than ACCEPTED: what its Failed state holds."""

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


def tag_of(outcome: str) -> str:
    """`COOLING DOWN` as `hone:cooling-down`."""
    return f"{TAG}:{outcome.lower().replace(' ', '-')}"


def ended(outcome: str, message: str, report: dict[str, Any], *also: str) -> State[dict[str, Any]]:
    """The state in which a run ends that came to an outcome; marks the run with it.

    Args:
        outcome: a verdict, or why there was nothing to do.
        also: further outcomes to tag it with, such as approved.
    """
    run = this_run()
    if run is not None:
        with get_client(sync_client=True) as client:
            mark(client, run, outcome, *also)
        checks = check_lines(report) if report.get("checks") else []
        for line in [*(Text.from_markup(line).plain for line in checks), message]:
            get_run_logger().info("%s", line)
    return state_of(outcome, message, report)


def state_of(outcome: str, message: str, report: dict[str, Any]) -> State[dict[str, Any]]:
    """Completed, or Failed where the model is not accepted."""
    if outcome in GOOD:
        return Completed(message=message, data=report)
    return Failed(message=message, data=NotAcceptedError(message, report))


def mark(client: SyncPrefectClient, run: FlowRun, *outcomes: str, called: str = "") -> None:
    """Tags a run with outcomes in place of earlier ones; the first stands in its name too, unless a person chose it.

    Args:
        called: how Hone names such a run, of one that this process does not run.
    """
    tags = [*own_tags(run.tags), TAG, *(tag_of(outcome) for outcome in outcomes)]
    base = run.name.partition(": ")[0]
    free = base == (called or _base.get(run.id)) or PAGE_NAME.match(base)
    client.update_flow_run(run.id, tags=tags, name=f"{base}: {outcomes[0]}" if free else run.name)


def own_tags(tags: Iterable[str]) -> list[str]:
    """Those that are a person's, or tell what the run is for."""
    return [tag for tag in tags if tag != TAG and (not tag.startswith(f"{TAG}:") or tag == tag_of("EXPIRY"))]


def invented(name: str) -> bool:
    """Whether Prefect made the name up, as it does where nobody gives one: adjective-animal."""
    return set(name.split("-")) <= _words()


def this_run() -> FlowRun | None:
    """The flow run that this code is part of."""
    context = FlowRunContext.get()
    return context.flow_run if context is not None else None


def served() -> UUID | None:
    """This run, if a deployment started it: its server shows a form, and a worker goes on after an answer."""
    run = this_run()
    return run.id if run is not None and run.deployment_id is not None else None


def told(name: Callable[[dict[str, Any]], str]) -> Callable[[Body], Body]:
    """Decorates a flow's body: its run is called `name` unless a person named it and carries Hone's tag, its recipe is
    read here, so that a wrong one ends in one clear state, and an error on purpose ends it with a line in its log.

    Args:
        name: of the run, from the flow's arguments.
    """

    def decorate(body: Body) -> Body:
        @functools.wraps(body)
        def run(*args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(body).bind(*args, **kwargs).arguments
            try:
                _quieten_errors()
                _begin(name(given))
                if "recipe" in given and not isinstance(given["recipe"], Recipe):
                    given["recipe"] = parse_recipe(_completed(given["recipe"]))
                return body(**given)
            except (HoneError, RecipeError) as error:
                message = without_credentials(f"{type(error).__name__}: {error}")
                get_run_logger().error("%s", message)
                _mark_error()
                return Failed(message=message, data=error)
            except Exception:
                _mark_error()
                raise

        return run  # type: ignore[return-value]

    return decorate


def recipe_name(given: dict[str, Any]) -> str:
    """The name of a run is that of its recipe, also of one that turns out to be wrong."""
    recipe = given["recipe"]
    return recipe.name if isinstance(recipe, Recipe) else str(dict(recipe).get("name", TAG))


def _completed(recipe: dict[str, Any]) -> dict[str, Any]:
    """With the deployment's values of what its form does not show."""
    if (run := this_run()) is None or run.deployment_id is None:
        return recipe
    with get_client(sync_client=True) as client:
        try:
            deployed = client.read_deployment(run.deployment_id).parameters
        except ObjectNotFound:
            return recipe
    return completed(recipe, deployed.get("recipe"))


_base: dict[UUID, str] = {}
"""What this process has called a run that nobody had named."""


def _begin(name: str) -> None:
    run = this_run()
    if run is None:
        return
    if invented(run.name) or run.name.partition(": ")[0] == name:
        run.name = _base[run.id] = name
    run.tags = [*own_tags(run.tags), TAG]
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, name=run.name, tags=run.tags)


def _mark_error() -> None:
    run = this_run()
    if run is None:
        return
    try:
        with get_client(sync_client=True) as client:
            mark(client, run, "ERROR")
    except (ObjectNotFound, OSError):  # the run ends with what ended it, whatever becomes of its tag
        get_run_logger().warning("this run could not be tagged %s", tag_of("ERROR"))


class _OneLine(logging.Filter):
    """An error that Hone raises on purpose is told in its own words; where in the code it was raised helps nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, HoneError | RecipeError):
            record.msg, record.args = without_credentials(f"{type(error).__name__}: {error}"), ()
            record.exc_info = record.exc_text = None
        return True


_ONE_LINE = _OneLine()


def _quieten_errors() -> None:
    for name in ("flow_runs", "task_runs"):
        get_logger(name).addFilter(_ONE_LINE)  # the same filter is added once


@functools.cache
def _words() -> frozenset[str]:
    """Every word that Prefect makes names of."""
    words: set[str] = set()
    config: dict[str, Any] = coolname.data.config
    for part in config.values():
        for entry in (*part.get("words", ()), *part.get("phrases", ())):
            words.update(entry if isinstance(entry, tuple | list) else entry.split())
    return frozenset(words)
