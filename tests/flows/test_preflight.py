"""What `hone check` says of the data of a task before anything is trained."""

from pathlib import Path
from typing import Any

import pytest

from hone.configs.recipe import Recipe, RecipeError, parse_recipe
from hone.flows.preflight import check_data
from tests.tiny import sentences

TAGGED = {"task": "token-classification", "data": {"train": "a.conll", "tokens_column": "tokens"}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the same 60 rows as texts with labels and as sentences whose first word is an entity."""
    monkeypatch.chdir(tmp_path)
    rows = sentences(60, seed=1)
    Path("a.csv").write_text("".join(f"{text},{label}\n" for text, label in [("text", "label"), *rows]))
    tags = [
        [f"{word} {'O' if place else f'B-{label}'}" for place, word in enumerate(text.split())] for text, label in rows
    ]
    Path("a.conll").write_text("".join("\n".join(lines) + "\n\n" for lines in tags))
    return tmp_path


def recipe_of(**sections: Any) -> Recipe:
    return parse_recipe({"name": "t", "data": {"train": "a.csv"}, "model": {"source": "some/encoder"}, **sections})


@pytest.mark.parametrize(("metrics", "told"), [([], True), (["macro_f1", "accuracy"], True), (["macro_f1"], False)])
def test_too_few_test_rows_are_told_where_accuracy_decides_as_it_does_by_default(
    here: Path, metrics: list[str], told: bool
) -> None:
    found, _seen = check_data(recipe_of(gate={"metrics": metrics}))
    assert ("INCONCLUSIVE is to be expected: 7 test rows cannot show gate.margin" in found) == told


def test_no_count_of_sentences_is_told_where_entities_decide(here: Path) -> None:
    assert check_data(recipe_of(**TAGGED))[0] == "47 train, 6 validation, 7 test sentences, 2 types of entities"


def test_a_calibration_error_is_asked_of_texts_alone() -> None:
    asked = {"gate": {"max_calibration_error": 0.1}}
    assert recipe_of(**asked).gate.max_calibration_error == 0.1
    with pytest.raises(RecipeError, match=r"gate\.max_calibration_error is 0\.1 but task is 'token-classification'"):
        recipe_of(**TAGGED, **asked)
