"""Flows as deployments of Prefect: a run form for each recipe, in a work pool whose workers run them."""

import contextlib
import importlib
import importlib.metadata
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from hone.configs.recipe import Recipe, RecipeError, load_recipe
from hone.flows.form import form
from hone.flows.services.plan import POOL
from hone.flows.services.state import address_of
from hone.flows.shell import print_error
from hone.flows.triggers import TAG, heartbeat_seconds, set_crash_detection, set_notifications, set_retrain_triggers
from hone.tasks import version
from hone.tasks.errors import PreflightError

RECIPE_FLOWS = {"optimize": "hone.flows.optimize.optimize", "retrain": "hone.flows.retrain.retrain"}
"""Flows that take a recipe, by the module path a worker imports: a deployment `FLOW/RECIPE` for each recipe."""
MODEL_FLOWS = {
    "promote": "hone.flows.promote.promote",
    "rollback": "hone.flows.promote.rollback",
}
"""Flows that take a model's name: one deployment `FLOW/FLOW` each."""
GONE = ("lapse/lapse",)
"""Deployments that earlier versions made."""
ABOUT = {
    "optimize": """Makes a small, fast ONNX model of **{model}** and judges whether it may ship.

Train a teacher → distil → prune → quantize → export → evaluate → gate → register → promote.
Unchanged stages are reused.""",
    "retrain": """Looks whether the data or the recipe of **{name}** have changed, and only then goes through the chain
and holds the new model against the champion that is served.""",
    "promote": "Makes a version of a registered model the **champion**: its files are checked and it answers first.",
    "rollback": "Makes the champion **before** this one the champion again, validated in the same way.",
}
ENDS = """

| ends as | with the tag | means |
| --- | --- | --- |
| Completed | `hone:accepted` | every demand is shown to be met |
| Failed | `hone:rejected` | a demand is shown not to be met |
| Failed | `hone:inconclusive` | what was measured shows neither; the message and the report say what would |
| Failed | `hone:error` | the run could not finish |
| Completed | `hone:unchanged`, `hone:cooling-down` | there was nothing to do |
| Suspended | `hone:waiting` | a person is asked: *Resume* shows the evidence and a form |
"""
DEFAULT_FOLDER = Path("configs")


def load_recipes(paths: list[Path], overrides: list[str] | None = None) -> list[Recipe]:
    """The recipes named, or all of `configs/` below the current folder, which may be none; each with the overrides.

    Raises:
        RecipeError: when one cannot be used, or two have the same name.
    """
    found: dict[str, Path] = {}
    recipes = []
    for path in paths or sorted(DEFAULT_FOLDER.glob("**/*.yaml")):
        recipe = load_recipe(path, overrides)
        if recipe.name in found:
            raise RecipeError(
                f"{path}: its name is '{recipe.name}', as is that of {found[recipe.name]}: a deployment is named after "
                "its recipe, so give one of them another name"
            )
        found[recipe.name] = path
        recipes.append(recipe)
    return recipes


def deploy(api: str, recipes: list[Recipe], directory: str = "", notify: list[str] | None = None) -> list[str]:
    """Creates or updates the work pool and every deployment, and returns their names. Running it again changes nothing
    but what changed in the recipes; deployments of recipes that are gone stay.

    Args:
        api: URL of Prefect's API.
        directory: Where a worker runs the flows, so that relative paths of a recipe mean there what they mean here;
            empty: the current folder.

    Raises:
        PreflightError: when Prefect gives no answer, has a deployment of such a name that is not Hone's, or lacks a
            block that is to be notified.
    """
    place, made = directory or str(Path.cwd()), []
    with connected(api) as client:
        _refuse_others(client, [recipe.name for recipe in recipes])
        _make_pool(client)
        for recipe in recipes:
            limit = _limit(client, f"model-{recipe.register_.model_name or recipe.name}")
            parameters, numbers = {"recipe": recipe.model_dump(mode="json")}, []
            for name, path in RECIPE_FLOWS.items():
                schedules = _schedules(client, recipe) if name == "retrain" else []
                about = ABOUT[name].format(name=recipe.name, model=recipe.model.source) + ENDS
                number = _deployment(client, path, recipe.name, about, parameters, place, limit, schedules, recipe)
                numbers.append(number)
                if name == "retrain":
                    set_retrain_triggers(client, recipe, number)
                made.append(f"{name}/{recipe.name}")
            set_notifications(client, recipe, numbers, notify or [])
        for name, path in MODEL_FLOWS.items():
            _deployment(client, path, name, ABOUT[name], {}, place, _limit(client, "champion"), [])
            made.append(f"{name}/{name}")
        set_crash_detection(client)
        _remove_gone(client)
    return made


def run_deploy(
    paths: list[Path], overrides: list[str], folder: str, directory: str, notify: list[str], console: Console
) -> str:
    """Deploys to the server that PREFECT_API_URL names, else to that of `hone up`, and prints the deployments' names.

    Returns:
        DONE, or INVALID where there is no server or no recipe.
    """
    try:
        recipes = load_recipes(paths, overrides)
        if not recipes:
            raise PreflightError(f"there is no recipe in {DEFAULT_FOLDER.absolute()}: name recipes as arguments")
        api = os.environ.get("PREFECT_API_URL") or address_of(folder)
        if not api:
            raise PreflightError(
                f"there is no Prefect server to deploy to: start one with `hone up`, name the folder of one that runs "
                f"by --folder (now {folder}), or set PREFECT_API_URL"
            )
        for made in deploy(api, recipes, directory, notify):
            console.print(f"deployed {made}", markup=False, highlight=False)
    except (PreflightError, RecipeError) as error:
        return print_error(error)
    return "DONE"


def _deployment(
    client: Any,
    path: str,
    name: str,
    about: str,
    parameters: dict[str, Any],
    directory: str,
    limit: str,
    schedules: list[dict[str, Any]],
    recipe: Recipe | None = None,
) -> str:
    module, _, attribute = path.rpartition(".")
    flow = getattr(importlib.import_module(module), attribute)
    # As JSON, because Prefect's own client does not know of a limit that several deployments share.
    answer = client.request(
        "POST",
        "/deployments/",
        json={
            "flow_id": str(client.create_flow(flow)),
            "name": name,
            "entrypoint": path,
            "work_pool_name": POOL,
            "description": about,
            "version": _version(),
            "tags": [TAG],
            # So that a run gives its signs as the automation expects them, whatever its worker's own setting.
            "job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(heartbeat_seconds())}},
            "parameters": parameters,
            "parameter_openapi_schema": form(flow, recipe),
            "enforce_parameter_schema": True,
            "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": directory}}],
            "global_concurrency_limit_id": limit,
            "concurrency_options": {"collision_strategy": "ENQUEUE"},
            "schedules": schedules,
        },
    )
    return str(answer.json()["id"])


def _refuse_others(client: Any, names: list[str]) -> None:
    """Takes nobody else's deployment for one of Hone's: they are known by their tag."""
    from prefect.exceptions import ObjectNotFound

    mine = [f"{flow}/{name}" for name in names for flow in RECIPE_FLOWS] + [f"{name}/{name}" for name in MODEL_FLOWS]
    others = []
    for name in mine:
        with contextlib.suppress(ObjectNotFound):
            others += [name] if TAG not in client.read_deployment_by_name(name).tags else []
    if others:
        raise PreflightError(
            f"Prefect has deployments of these names that are not Hone's (they lack the tag {TAG}): "
            f"{', '.join(others)}: give the recipe another name, or those"
        )


def _remove_gone(client: Any) -> None:
    from prefect.exceptions import ObjectNotFound

    for name in GONE:
        with contextlib.suppress(ObjectNotFound):
            known = client.read_deployment_by_name(name)
            if TAG in known.tags:
                client.delete_deployment(known.id)


def _version() -> str:
    """Of the package, and which code it is."""
    try:
        number = importlib.metadata.version("hone")
    except importlib.metadata.PackageNotFoundError:
        number = "0"
    return f"{number}+{version.code_digest()}"


def _schedules(client: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """What `retrain.cron` asks for; a schedule that somebody has paused stays so."""
    from prefect.exceptions import ObjectNotFound

    cron = recipe.retrain.cron
    if not cron:
        return []
    try:
        known = client.read_deployment_by_name(f"retrain/{recipe.name}").schedules
    except ObjectNotFound:
        known = []
    active = not known or any(schedule.active for schedule in known)
    return [{"schedule": {"cron": cron, "timezone": "UTC"}, "slug": "retrain", "active": active}]


def _limit(client: Any, of: str) -> str:
    """The limit of one run at a time, shared by all deployments of the same `of`; others wait in the queue."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"hone-{of}")  # Prefect takes no % and no & in a name
    client.upsert_global_concurrency_limit_by_name(name, 1)
    return str(client.read_global_concurrency_limit_by_name(name).id)


def _make_pool(client: Any) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(name=POOL, type="process", base_job_template=ProcessWorker.get_default_base_job_template())
    try:
        client.create_work_pool(pool)
    except ObjectAlreadyExists:
        return


@contextmanager
def connected(api: str) -> Iterator[Any]:
    """Prefect's client.

    Raises:
        PreflightError: when Prefect gives no answer.
    """
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

    with SyncPrefectClient(api, auth_string=PREFECT_API_AUTH_STRING.value(), api_key=PREFECT_API_KEY.value()) as client:
        failure = client.api_healthcheck()
        if failure is not None:
            raise PreflightError(f"Prefect gives no answer at {api} ({failure}): start it, or correct PREFECT_API_URL")
        yield client
