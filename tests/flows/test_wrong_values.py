"""A wrong value is told at its own place: in Prefect's run form, in the answer of its API, and by a command."""

import re
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import ValidationError, build_error_obj, preprocess_schema, validate

from hone.configs.recipe import RecipeError, parse_recipe
from hone.flows.deploy import form
from hone.flows.optimize import optimize

GIVEN = {"name": "tiny", "data": {"train": "a.csv"}, "model": {"source": "a"}}
SCHEMA = preprocess_schema(form(optimize))
TYPES = SCHEMA["definitions"]
BEYOND = {"minimum": -1, "maximum": 1, "exclusiveMinimum": 0, "exclusiveMaximum": 0}
"""What is added to a bound to be outside it."""


def fields(section: str) -> dict[str, dict[str, Any]]:
    """The schema of each field of a section; none of what is no section."""
    place = TYPES["Recipe"]["properties"][section]
    named = next((one["$ref"] for one in [place, *place.get("allOf", [])] if "$ref" in one), "")
    return dict(TYPES.get(named.rpartition("/")[2], {}).get("properties", {}))


def wrong(rule: dict[str, Any]) -> list[Any]:
    """A value outside the bounds or the choices of a field; none where it takes anything."""
    for part in (rule, *rule.get("anyOf", [])):
        if "enum" in part:
            return ["none of these"] if isinstance(part["enum"][0], str) else [max(part["enum"]) + 1]
        for bound in BEYOND.keys() & part.keys():
            return [part[bound] + BEYOND[bound]]
    return []


WRONG = {
    section: {field: value for field, rule in fields(section).items() for value in wrong(rule)}
    for section in TYPES["Recipe"]["properties"]
}


def place_of(errors: list[Any]) -> list[str]:
    """The one field beside which the page of the form shows an error."""
    told, place = build_error_obj(errors), []
    while isinstance(told["errors"][0], dict):
        [told] = told["errors"]
        place.append(told["property"])
    return place


def test_most_sections_have_fields_that_can_be_wrong() -> None:
    assert len([section for section in WRONG if WRONG[section]]) >= 10
    assert sum(map(len, WRONG.values())) > 60


@pytest.mark.parametrize("section", [section for section in WRONG if WRONG[section]])
def test_a_wrong_value_is_told_at_its_field_and_nowhere_else(section: str) -> None:
    for field, value in WRONG[section].items():
        recipe = parse_recipe(GIVEN).model_dump(mode="json", by_alias=True)
        assert validate({"recipe": recipe}, SCHEMA, preprocess=False) == []
        recipe[section][field] = value
        errors = validate({"recipe": recipe}, SCHEMA, preprocess=False)
        assert place_of(errors) == ["recipe", section, field]
        with pytest.raises(RecipeError, match=rf"\b{section}\.{re.escape(field)} = "):  # what a command and a run say
            parse_recipe(recipe)
    with pytest.raises(ValidationError, match=rf"^Validation failed for field 'recipe\.{section}\.{field}'"):
        validate({"recipe": recipe}, SCHEMA, raise_on_error=True, preprocess=False)  # what the API answers
