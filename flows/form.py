"""The run form of a deployment: what Prefect asks a person for, and refuses, and how what it hides comes back."""

import re
from typing import Any

from hone.configs.applies import hidden, with_hidden
from hone.configs.recipe import Recipe, RecipeError, parse_recipe


def form(flow: Any, recipe: Recipe | None = None) -> dict[str, Any]:
    """The schema of a flow's parameters, from which Prefect makes the run form and refuses wrong values. Sections of a
    recipe are headed by their keys, as in the YAML, and not by the names of their types.

    Args:
        recipe: settings that it makes no use of are not shown. Whoever gives them all the same, as a form does that
            keeps the deployment's values, is held to the same rules: as patterns, which no form draws.
    """
    from prefect.utilities.callables import parameter_schema

    schema: dict[str, Any] = parameter_schema(flow).model_dump_for_openapi()
    types = schema.get("definitions", {})
    unused = hidden(recipe) if recipe is not None else {}
    for key, section in types.get("Recipe", {}).get("properties", {}).items():
        for reference in [section, *section.get("allOf", [])]:
            if "$ref" in reference:
                shown = types[reference["$ref"].rpartition("/")[2]]
                shown["title"] = key
                _hide(shown, unused.get(key, set()))
    return schema


def completed(given: dict[str, Any], deployed: Any) -> dict[str, Any]:
    """The recipe of a run, of what its form sent.

    Args:
        deployed: the recipe of the deployment's own parameters, as Prefect keeps it.
    """
    if not isinstance(given, dict) or not isinstance(deployed, dict):
        return given
    try:
        return with_hidden(given, parse_recipe(deployed))
    except RecipeError:  # of another version: nothing was hidden by these rules
        return given


def _hide(section: dict[str, Any], names: set[str]) -> None:
    properties = section["properties"]
    taken = {f"^{re.escape(name)}$": properties.pop(name) for name in sorted(names & set(properties))}
    if taken:
        section["patternProperties"] = taken
