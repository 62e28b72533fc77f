"""A run form shows what applies to its recipe, and what it hides keeps the recipe's value."""

import copy
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import ValidationError, validate

from hone.configs.applies import READ, SWITCHED, TASKS, hidden
from hone.configs.recipe import Recipe, RecipeError, parse_recipe
from hone.flows.form import completed, form
from hone.flows.optimize import optimize


def recipe_of(**sections: Any) -> Recipe:
    needed = {"name": "t", "data": {"train": "a.csv"}, "model": {"source": "some/encoder"}}
    return parse_recipe({**needed, **sections})


def shown(recipe: Recipe, section: str) -> list[str]:
    return list(form(optimize, recipe)["definitions"][section]["properties"])


def sent(recipe: Recipe) -> dict[str, Any]:
    """As a form sends it that keeps nothing but what it shows."""
    types = form(optimize, recipe)["definitions"]
    tree = recipe.model_dump(mode="json")
    for name, field in types["Recipe"]["properties"].items():
        reference = field.get("$ref") or next((one["$ref"] for one in field.get("allOf", [])), "")
        if reference:
            section = types[reference.rpartition("/")[2]]["properties"]
            tree[name] = {key: value for key, value in tree[name].items() if key in section}
    return tree


UNUSED = recipe_of(
    distill={"method": "none", "temperature": 9.0, "layers": [1, 3]},
    prune={"method": "none"},
    quantize={"method": "none", "calibration_rows": 7},
    data={"source": "docstrings", "libraries": ["numpy", "scipy"], "label_column": "library"},
)


def test_a_stage_that_is_left_out_shows_its_method_alone_and_one_that_is_not_shows_everything() -> None:
    assert shown(UNUSED, "DistillSettings") == ["method"]
    assert shown(UNUSED, "QuantizeSettings") == ["method"]
    assert shown(UNUSED, "PruneSettings") == ["method"]
    assert set(shown(recipe_of(), "PruneSettings")) == set(type(UNUSED.prune).model_fields)
    assert form(optimize, recipe_of())["definitions"]["DistillSettings"].get("patternProperties") is None


@pytest.mark.parametrize("later", [{"quantize": {"method": "none"}}, {"prune": {"method": "none"}}])
def test_what_pruning_and_rounding_learn_from_the_teacher_by_is_shown_without_a_student(later: dict[str, Any]) -> None:
    names = set(shown(recipe_of(distill={"method": "none"}, **later), "DistillSettings"))
    assert {"method", "alpha", "temperature", "augment"} <= names
    assert names & {"layers", "student", "epochs", "learning_rate"} == set()


@pytest.mark.parametrize(
    ("data", "there", "gone"),
    [
        ({"train": "a.csv"}, {"train", "encoding", "label_column"}, {"dataset", "libraries", "test_split"}),
        ({"source": "hub", "dataset": "a/b"}, {"dataset", "dataset_config", "text_column"}, {"train", "libraries"}),
        ({"source": "saved", "dataset": "a"}, {"dataset", "test_split"}, {"train", "dataset_config"}),
        ({"source": "docstrings", "libraries": ["a", "b"]}, {"libraries"},
         {"train", "dataset", "text_column", "pair_column"}),
    ],
)  # fmt: skip
def test_of_the_data_what_their_source_has_is_shown(data: dict[str, Any], there: set[str], gone: set[str]) -> None:
    names = set(shown(recipe_of(data=data), "DataSettings"))
    assert there <= names
    assert gone & names == set()
    assert {"source", "max_rows_per_label", "test_fraction"} <= names


def test_settings_of_another_task_are_hidden_and_all_that_are_named_exist() -> None:
    assert "pair_column" not in hidden(recipe_of())["data"]
    assert "pair_column" in hidden(recipe_of(), {"data.pair_column": ("another-task",)})["data"]
    named = {f"data.{name}" for names in READ.values() for name in names} | set(TASKS)
    named |= {f"{section}.{switch}" for section, (switch, _off) in SWITCHED.items()}
    for key in named:
        section, _, name = key.partition(".")
        assert name in type(getattr(recipe_of(), section)).model_fields


def test_a_task_shows_the_columns_and_demands_of_its_own_data_alone() -> None:
    tagged = recipe_of(task="token-classification", data={"train": "a.conll", "tokens_column": "tokens"})
    texts = {"text_column", "label_column", "pair_column", "strip_punctuation", "header"}
    words = {"tokens_column", "tags_column"}
    for recipe, there, gone in ((tagged, words, texts), (recipe_of(), texts, words)):
        names = set(shown(recipe, "DataSettings"))
        assert there <= names
        assert gone & names == set()
        assert {"train", "columns", "lowercase", "label_names", "slice_columns"} <= names
        calibration = {"calibration_bins", "max_calibration_error"}
        found = calibration & {*shown(recipe, "EvaluateSettings"), *shown(recipe, "GateSettings")}
        assert found == (set() if recipe is tagged else calibration)


def test_what_a_form_hides_keeps_the_recipes_value_and_what_it_shows_is_the_persons() -> None:
    given = sent(UNUSED)
    assert given["distill"] == {"method": "none"}
    assert "label_column" not in given["data"]
    given["prune"]["epochs"] = 1
    validate({"recipe": given}, form(optimize, UNUSED), raise_on_error=True, preprocess=True)
    run = parse_recipe(completed(given, UNUSED.model_dump(mode="json")))
    assert run == UNUSED.model_copy(update={"prune": UNUSED.prune.model_copy(update={"epochs": 1})})


def test_a_method_that_is_switched_on_in_the_form_runs_as_the_recipe_says() -> None:
    given = sent(UNUSED)
    given["distill"]["method"] = "logits"
    run = parse_recipe(completed(given, UNUSED.model_dump(mode="json")))
    assert (run.distill.method, run.distill.temperature, run.distill.layers) == ("logits", 9.0, [1, 3])


def test_who_gives_a_hidden_setting_is_heard_and_held_to_its_rules() -> None:
    whole = UNUSED.model_dump(mode="json")
    whole["distill"]["temperature"] = 2.0
    validate({"recipe": whole}, form(optimize, UNUSED), raise_on_error=True, preprocess=True)
    assert parse_recipe(completed(whole, UNUSED.model_dump(mode="json"))).distill.temperature == 2.0
    for key, value in (("temperature", -1.0), ("temprature", 2.0)):
        wrong = copy.deepcopy(whole)
        wrong["distill"][key] = value
        with pytest.raises(ValidationError):
            validate({"recipe": wrong}, form(optimize, UNUSED), raise_on_error=True, preprocess=True)


@pytest.mark.parametrize("deployed", [None, {"name": "of", "another": "version"}])
def test_a_deployment_without_a_recipe_of_this_version_adds_nothing(deployed: Any) -> None:
    given = recipe_of().model_dump(mode="json")
    assert completed(given, deployed) == given


def test_what_is_no_recipe_is_left_to_be_refused() -> None:
    with pytest.raises(RecipeError, match="the recipe = 'tickets': it has to be a section with keys of its own"):
        parse_recipe(completed("tickets", recipe_of().model_dump(mode="json")))  # type: ignore[arg-type]
