"""A wrong value is told at its own place: in Prefect's run form, in the answer of its API, and by a command."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import ValidationError, build_error_obj, validate

from configs.recipe import RecipeError, parse_recipe
from flows.deploy import form
from flows.optimize import optimize

GIVEN = {"name": "tiny", "data": {"train": "a.csv"}, "model": {"source": "a"}}
SCHEMA = form(optimize)
TYPES = SCHEMA["definitions"]


def wrong_values() -> Iterator[tuple[str, str, Any]]:
    """Section, field and a value outside its bounds or choices, of every field of every section that has any."""
    for section, place in TYPES["Recipe"]["properties"].items():
        reference = next((one["$ref"] for one in [place, *place.get("allOf", [])] if "$ref" in one), "")
        for field, rule in TYPES.get(reference.rpartition("/")[2], {}).get("properties", {}).items():
            for part in (rule, *rule.get("anyOf", [])):
                for bound, step in (("minimum", -1), ("maximum", 1), ("exclusiveMinimum", 0), ("exclusiveMaximum", 0)):
                    if bound in part:
                        yield section, field, part[bound] + step
                if "enum" in part:
                    yield section, field, "none of these"


WRONG = list(wrong_values())


def submitted(section: str, field: str, value: Any) -> dict[str, Any]:
    """The parameters of a run whose form was filled in so."""
    recipe = parse_recipe(GIVEN).model_dump(mode="json", by_alias=True)
    recipe = copy.deepcopy(recipe)
    recipe[section][field] = value
    return {"recipe": recipe}


def test_there_are_wrong_values_for_every_section() -> None:
    sections = {name for name in TYPES["Recipe"]["properties"] if name not in ("name", "seed", "task")}
    assert {section for section, _field, _value in WRONG} >= sections - {"report", "data", "model"}
    assert len(WRONG) > 100


def test_what_the_recipe_holds_by_itself_is_not_wrong() -> None:
    assert validate({"recipe": parse_recipe(GIVEN).model_dump(mode="json", by_alias=True)}, SCHEMA) == []


@pytest.mark.parametrize(("section", "field", "value"), WRONG)
def test_a_wrong_value_is_told_at_its_field_and_nowhere_else(section: str, field: str, value: Any) -> None:
    parameters = submitted(section, field, value)
    told = build_error_obj(validate(parameters, SCHEMA))  # what the page of the form shows beside its fields
    place = []
    while told["errors"] and isinstance(told["errors"][0], dict):
        [told] = told["errors"]
        place.append(told["property"])
    assert place == ["recipe", section, field]
    assert all(isinstance(message, str) for message in told["errors"])
    with pytest.raises(ValidationError, match=rf"^Validation failed for field 'recipe\.{section}\.{field}'"):
        validate(parameters, SCHEMA, raise_on_error=True)  # what the API answers
    with pytest.raises(RecipeError, match=rf"\b{section}\.{field} = "):  # what a command and a run say
        parse_recipe(parameters["recipe"])
