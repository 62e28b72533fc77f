"""What an architecture cannot do is known before anything is trained, and stands in tasks/README.md."""

from pathlib import Path

import numpy as np
import pytest

from hone.configs.recipe import Recipe, load_recipe
from hone.tasks.dry_run import check_ids
from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.abilities import check_abilities, table
from hone.tasks.model.text import TokenizedText
from tests.prune.encoders import tiny
from tests.tiny import write_recipe

README = Path(__file__).parents[2] / "tasks" / "README.md"


def recipe(tmp_path: Path, *settings: str) -> Recipe:
    return load_recipe(write_recipe(tmp_path), list(settings))


def test_the_table_of_the_readme_is_that_of_the_code() -> None:
    assert table() in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_what_every_setting_asks_for_is_for_berts_kind(tmp_path: Path, kind: str) -> None:
    check_abilities(recipe(tmp_path, "distill.relation_weight=1", "prune.layer_fraction=0.3"), kind, None)


@pytest.mark.parametrize(
    ("kind", "message", "remedies"),
    [
        (
            "albert",
            r"distill.method.*albert.*head_fraction.*neuron_fraction",
            ["distill.method=none", "prune.method=none"],
        ),
        ("modernbert", r"distill.method.*modernbert", ["distill.method=none", "prune.method=none"]),
        ("deberta-v2", r"prune.head_fraction is not for deberta-v2", ["prune.head_fraction=0"]),
        ("mpnet", r"prune.head_fraction is not for mpnet", ["prune.head_fraction=0"]),
        ("llama", r"prune\.vocabulary: seen is not for llama \(it answers with the tokens", ["prune.vocabulary=full"]),
        (
            "gpt2",
            r"vocabulary: seen is not for gpt2.*head_fraction is not for gpt2 \(one matrix makes queries",
            ["prune.vocabulary=full", "prune.head_fraction=0"],
        ),
        ("ernie", r"where its layers lie is not known", ["distill.method=none", "prune.method=none"]),
    ],
)
def test_what_cannot_be_done_is_refused_and_the_remedy_holds(
    tmp_path: Path, kind: str, message: str, remedies: list[str]
) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        check_abilities(recipe(tmp_path), kind, None)
    assert all(f"--set {remedy}" in str(raised.value) for remedy in remedies)
    check_abilities(recipe(tmp_path, *remedies), kind, None)


def test_with_a_student_of_its_own_it_is_the_student_that_is_pruned(tmp_path: Path) -> None:
    check_abilities(recipe(tmp_path, "distill.student=other", "distill.layers=[]"), "albert", "bert")


def test_token_types_and_tokens_that_the_model_lacks_are_errors() -> None:
    ids, offsets = np.array([5, 59], np.int32), np.array([0, 2])
    good = TokenizedText(ids, offsets, np.array([0, 1], np.int8), np.array([0]))
    check_ids("here", tiny("bert"), good)
    with pytest.raises(ModelError, match=r"gives token 60, and its model knows 60"):
        check_ids("here", tiny("bert"), TokenizedText(ids + 1, offsets, None, np.array([0])))
    with pytest.raises(ModelError, match=r"gives 3 token types, and its model knows 2"):
        check_ids("here", tiny("bert"), TokenizedText(ids, offsets, np.array([0, 2], np.int8), np.array([0])))
