"""The `hone` command. Thin: every command calls a flow or a task."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.recipe import Recipe, RecipeError, load_recipe

EXIT = {"ACCEPTED": 0, "FAILED": 1, "INVALID": 2, "REJECTED": 3}
"""0 accepted, 1 the run failed, 2 the recipe or the arguments are wrong, 3 rejected."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML recipe, such as configs/quickstart.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one setting, e.g. train.epochs=2.")
]


@app.callback()
def hone() -> None:
    """From a pretrained encoder and labelled text to a small, fast ONNX model, with the evidence that it may ship."""


@app.command()
def optimize(
    recipe: RecipePath,
    set_: Overrides = None,
    output: Annotated[str, typer.Option(help="Folder of the report and the model; default runs/NAME.")] = "",
    fresh: Annotated[bool, typer.Option(help="Ignore the finished stages of earlier runs.")] = False,
) -> None:
    """Run the whole chain. Exit status: 0 ACCEPTED, 3 REJECTED, 2 wrong recipe, 1 the run failed."""
    settings = _load(recipe, set_)
    from flows.embedded import run_optimize

    raise typer.Exit(EXIT[run_optimize(settings, output, fresh, Console())])


@app.command()
def check(recipe: RecipePath, set_: Overrides = None) -> None:
    """Verify, without training, that the data, the model, the providers and the services of a recipe are there."""
    settings = _load(recipe, set_)
    from flows.preflight import run_check

    raise typer.Exit(EXIT[run_check(settings, Console())])


def _load(recipe: Path, overrides: list[str] | None) -> Recipe:
    try:
        return load_recipe(recipe, overrides)
    except RecipeError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), markup=False, highlight=False)
        raise typer.Exit(EXIT["INVALID"]) from None


def main() -> None:
    """Entry point of the `hone` command."""
    from flows.environment import prepare_environment

    prepare_environment()
    app()


if __name__ == "__main__":
    main()
