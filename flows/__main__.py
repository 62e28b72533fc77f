"""The `hone` command. Thin: every command calls a flow or a task."""

import gc
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from hone.configs.recipe import Recipe, RecipeError, load_recipe
from hone.flows.options import Folder, Local, ModelName, Output, Overrides, RecipePath, Results, Run, Storage
from hone.flows.shell import console
from hone.tasks.redact import mask_logs, without_credentials

EXIT = {
    "ACCEPTED": 0,
    "DONE": 0,
    "UNCHANGED": 0,
    "COOLING DOWN": 0,
    "FAILED": 1,
    "INVALID": 2,
    "REJECTED": 3,
    "INCONCLUSIVE": 4,
}
"""0 accepted, done or nothing to do, 1 the run failed, 2 the recipe or the arguments are wrong, 3 rejected, 4
inconclusive."""

Loaded = TypeVar("Loaded")
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
cache_app = typer.Typer(no_args_is_help=True, help="List, clear away and check the results of finished stages.")
app.add_typer(cache_app, name="cache")
SERVERS = ".hone"
"""Where `hone up` keeps what it runs, unless it is told otherwise."""


def show_version(asked: bool) -> None:
    """Prints Hone's version and that of its code, and ends."""
    if asked:
        from hone.tasks.version import code_version, hone_version

        typer.echo(f"hone {hone_version()} ({code_version()})")
        raise typer.Exit


@app.callback()
def hone(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=show_version, is_eager=True, help="Show the version and end."),
    ] = False,
) -> None:
    """From a pretrained encoder and labelled text to a small, fast ONNX model, with the evidence that it may ship."""


@app.command()
def optimize(
    recipe: RecipePath,
    set_: Overrides = None,
    output: Output = "",
    fresh: Annotated[
        bool, typer.Option("--fresh", metavar="", help="Ignore the finished stages of earlier runs.")
    ] = False,
    local: Local = False,
) -> None:
    """Run the whole chain.

    Exit status: 0 ACCEPTED; 1 the run failed; 2 the recipe, the data or the model cannot be used, and nothing was
    trained; 3 REJECTED; 4 INCONCLUSIVE.
    """
    settings = _load(recipe, set_)
    _use_servers(local)
    from hone.flows.embedded import run_optimize

    raise typer.Exit(EXIT[run_optimize(settings, output, fresh, console())])


@app.command()
def retrain(
    recipe: RecipePath,
    set_: Overrides = None,
    output: Output = "",
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Run also where nothing has changed or the last run is recent.")
    ] = False,
    local: Local = False,
) -> None:
    """Run the chain again if data or recipe have changed or there is no champion, and hold the new model against it.

    Exit status: 0 ACCEPTED, or there is nothing to do; 1 the run failed; 2 the recipe, the data or the model cannot be
    used, and nothing was trained; 3 REJECTED; 4 INCONCLUSIVE.
    """
    settings = _load(recipe, set_)
    _use_servers(local)
    from hone.flows.embedded import run_retrain

    raise typer.Exit(EXIT[run_retrain(settings, output, force, console())])


@app.command()
def init(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, TSV, JSONL, Parquet, CoNLL or SQuAD, packed by gzip or not.")
    ],
    output: Annotated[str, typer.Option(help="The recipe to write.")] = "recipe.yaml",
    model: Annotated[
        str, typer.Option(help="Hub id, local folder, or package:NAME/PATH, as model.source; default: a small one.")
    ] = "",
    text: Annotated[str, typer.Option(metavar="COLUMN", help="Column with the text, or words; default: guessed.")] = "",
    label: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the label, or tags; default: guessed.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace a recipe that is there.")] = False,
) -> None:
    """Look at a file of labelled text, words with tags, questions or conversations, write a recipe for it, and say
    what was assumed.

    Exit status: 0 done; 2 the file cannot be used, or the recipe is there already.
    """
    from hone.flows.init import run_init

    raise typer.Exit(EXIT[run_init(file, output, model, text, label, force, console())])


@app.command()
def check(recipe: RecipePath, set_: Overrides = None, output: Output = "", local: Local = False) -> None:
    """Verify, without training, that the data, the model, the providers, the services and the output folder of a recipe
    are there and can be used.

    Exit status: 0 all of it holds; 2 something does not, and is named.
    """
    settings = _load(recipe, set_)
    _use_servers(local)
    from hone.flows.preflight import run_check

    given = [str(recipe), *(word for one in set_ or [] for word in ("--set", one))]
    again = shlex.join([*given, *(["--output", output] if output else []), *(["--local"] if local else [])])
    raise typer.Exit(EXIT[run_check(settings, output, console(), again)])


@app.command()
def promote(
    name: ModelName,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its version that is to be served.")],
    override: Annotated[str, typer.Option(help="Why, although its verdict is not ACCEPTED; recorded.")] = "",
    storage: Storage = ".hone",
    local: Local = False,
) -> None:
    """Make a version the champion.

    Exit status: 0 done; 1 the champion stayed; 2 there is no such model or version.
    """
    _use_servers(local, storage)
    from hone.flows.champion import run_promote

    raise typer.Exit(EXIT[run_promote(name, version, override, storage, console())])


@app.command()
def rollback(
    name: ModelName,
    reason: Annotated[str, typer.Option(help="Why; recorded.")] = "",
    storage: Storage = ".hone",
    local: Local = False,
) -> None:
    """Make the champion before this one the champion again; as undo, a second time goes further back.

    Exit status: 0 done; 1 the champion stayed; 2 there is no such model.
    """
    _use_servers(local, storage)
    from hone.flows.champion import run_rollback

    raise typer.Exit(EXIT[run_rollback(name, reason, storage, console())])


@app.command()
def history(name: ModelName, storage: Storage = ".hone", local: Local = False) -> None:
    """Show who made which version the champion, when and on what evidence. Writes nothing.

    Exit status: 0 done; 2 there is no such model.
    """
    _use_servers(local, storage)
    from hone.flows.champion import run_history

    raise typer.Exit(EXIT[run_history(name, storage, console())])


@app.command()
def compare(
    first: Run,
    second: Run,
    json_: Annotated[bool, typer.Option("--json", metavar="", help="One JSON object, for programs.")] = False,
    storage: Storage = ".hone",
    local: Local = False,
) -> None:
    """Show how two runs differ: verdict, settings, stages, and the selected models' metrics, size, speed-up and
    latency.

    Exit status: 0 done; 2 one of them is no run that came to a verdict.
    """
    if not all(Path(run).expanduser().exists() for run in (first, second)):  # MLflow is to be asked
        _use_servers(local, storage)
    from hone.flows.compare import run_compare

    raise typer.Exit(EXIT[run_compare(first, second, json_, storage, console(), sys.stdout)])


@app.command()
def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="NAME@ALIAS, NAME/VERSION, or a folder that a run wrote.")
    ],
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="CSV, TSV, JSONL, CoNLL, SQuAD's JSON, or a text a line; - reads stdin."),
    ],
    format_: Annotated[
        str, typer.Option("--format", help="csv, tsv, jsonl, lines, conll or squad; default: by the ending.")
    ] = "",
    storage: Storage = ".hone",
) -> None:
    """Answer texts as the model is served: one line of JSON each, with its label or labels, its number, the entities of
    a sentence, or the answer to a question.

    Exit status: 0 done; 2 there is no such model or file.
    """
    from hone.flows.predict import run_predict

    raise typer.Exit(EXIT[run_predict(model, file, format_, storage, sys.stdout)])


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", metavar="", help="Return when all of it is healthy; `hone down` stops it.")
    ] = False,
    folder: Folder = ".hone",
    prefect_port: Annotated[int, typer.Option(help="Port of Prefect's page and API.", min=1, max=65535)] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow's page and API.", min=1, max=65535)] = 5000,
    ray_port: Annotated[int, typer.Option(help="Port of Ray's head.", min=1, max=65535)] = 6379,
) -> None:
    """Start Prefect, MLflow, Ray and a worker on this machine, on loopback, and deploy the recipes of configs/.

    Exit status: 0 stopped or detached; 1 something did not come up or stay; 2 it cannot start here.
    """
    from hone.flows.deploy import load_recipes
    from hone.flows.services.plan import Ports
    from hone.flows.services.up import run_up

    recipes = _checked(lambda: load_recipes([]))
    raise typer.Exit(EXIT[run_up(folder, Ports(prefect_port, mlflow_port, ray_port), detach, recipes, console())])


@app.command()
def status(folder: Folder = ".hone") -> None:
    """Show what `hone up` started and whether it answers.

    Exit status: 0 all of it does; 1 not all.
    """
    from hone.flows.services.state import run_status

    raise typer.Exit(EXIT[run_status(folder, console())])


@app.command()
def down(folder: Folder = ".hone") -> None:
    """Stop what `hone up` started from the folder, also what an earlier start left behind.

    Exit status: 0 all of it has stopped; 1 something has not.
    """
    from hone.flows.services.state import run_down

    raise typer.Exit(EXIT[run_down(folder, console())])


@app.command()
def deploy(
    recipes: Annotated[
        list[Path] | None, typer.Argument(metavar="[RECIPE]...", help="Default: configs/*.yaml.")
    ] = None,
    set_: Overrides = None,
    folder: Folder = ".hone",
    directory: Annotated[str, typer.Option(help="Folder the worker runs in; default the current one.")] = "",
    notify: Annotated[
        list[str] | None,
        typer.Option(metavar="BLOCK", help="Block of Prefect, TYPE/NAME, that hears of what needs a person."),
    ] = None,
) -> None:
    """Create or update the deployments of recipes, and those of promote and rollback, in Prefect.

    Exit status: 0 done; 2 there is no server, or a recipe cannot be used.
    """
    from hone.flows.deploy import run_deploy

    raise typer.Exit(EXIT[run_deploy(recipes or [], set_ or [], folder, directory, notify or [], console())])


def _use_servers(local: bool, folder: str = SERVERS) -> None:
    """Points this process at the servers that a `hone up` of the folder runs, before any engine is imported, and says
    so; what a person has set wins."""
    if local:
        return
    from hone.flows.services.state import LEADS, borrowed

    found = borrowed(folder, os.environ)
    os.environ.update(found)
    if named := [value for name, value in found.items() if name in LEADS]:
        told = f"with the servers of `hone up` in {folder}: {', '.join(named)} (--local: without)"
        Console(stderr=True, soft_wrap=True).print(told, markup=False, highlight=False)


@cache_app.command()
def ls(storage: Results = ".hone") -> None:
    """Show every finished result with its size, age and recipes.

    Exit status: 0 done; 2 there is no such storage.
    """
    from hone.flows.cache import run_ls

    raise typer.Exit(EXIT[run_ls(storage, console())])


@cache_app.command()
def prune(
    storage: Results = ".hone",
    max_size: Annotated[str, typer.Option(help="Most that results may take, e.g. 5GB; empty: any size.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Only say what would go.")] = False,
) -> None:
    """Clear away what runs that died left over and, with --max-size, the results that are longest unused: first those
    that are no recipe's newest. What a run that is going on uses stays.

    Exit status: 0 done; 2 the arguments cannot be used.
    """
    from hone.flows.cache import run_prune

    raise typer.Exit(EXIT[run_prune(storage, max_size, dry_run, console())])


@cache_app.command()
def verify(storage: Results = ".hone") -> None:
    """Read every finished result again.

    Exit status: 0 all are whole; 1 one is damaged; 2 there is no such storage.
    """
    from hone.flows.cache import run_verify

    raise typer.Exit(EXIT[run_verify(storage, console())])


def _load(recipe: Path, overrides: list[str] | None) -> Recipe:
    return _checked(lambda: load_recipe(recipe, overrides))


def _checked(load: Callable[[], Loaded]) -> Loaded:
    try:
        return load()
    except RecipeError as error:
        Console(stderr=True, soft_wrap=True).print(without_credentials(str(error)), markup=False, highlight=False)
        raise typer.Exit(EXIT["INVALID"]) from None


def main() -> None:
    """Entry point of the `hone` command."""
    from hone.flows.encoding import print_plainly
    from hone.flows.environment import prepare_environment

    # The engines' imports make a million objects that stay. To look through them again and again for what may go would
    # be a seventh of the processor time of these imports.
    gc.set_threshold(50_000)
    print_plainly()
    prepare_environment()
    mask_logs()
    try:
        app(prog_name="hone")
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads what happened and not a traceback
        print(unforeseen(error), file=sys.stderr)
        sys.exit(EXIT["FAILED"])


def unforeseen(error: Exception) -> str:
    """An error that Hone did not see coming, in one line, and the file that its traceback is written to."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
    traces = without_credentials("".join(traceback.format_exception(error)))
    with tempfile.NamedTemporaryFile("w", prefix="hone-error-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(traces)
    return without_credentials(f"{said}\nHone did not foresee this. The whole traceback: {file.name}")


if __name__ == "__main__":
    main()
