"""The compression of a teacher by a plan, apart from what a chain does with the outcome."""

from typing import Any

import pytest

from hone.configs.plan import Plan
from hone.configs.recipe import RecipeError
from hone.flows import optimize
from hone.tasks.stage import RunContext
from tests.report.conftest import recipe, results

__all__ = ["recipe", "results"]

STAGES = {"distill_student": 1, "prune_student": 2, "quantize_student": 3}
LATER = ("train_teacher", "evaluate_models", "evaluate_champion", "decide", "register_model", "publish_report")


@pytest.fixture
def asked(results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plan that each stage was called with; any stage outside of the compression fails."""
    seen: list[Plan] = []

    def stage(context: RunContext, result: Any) -> Any:
        seen.append(Plan.of(context.recipe))
        return result

    for name, place in STAGES.items():
        made = results["models"][place]
        monkeypatch.setattr(optimize, name, lambda context, *_, made=made: stage(context, made))
    monkeypatch.setattr(optimize, "export_models", lambda context, *_: stage(context, results["exported"]))
    for name in LATER:
        monkeypatch.delattr(optimize, name)
    return seen


def test_every_stage_follows_the_plan_and_none_but_them_is_run(results: dict[str, Any], asked: list[Plan]) -> None:
    context, teacher = results["context"], results["models"][0]
    own = Plan.of(context.recipe)
    other = own.model_copy(update={"prune": own.prune.model_copy(update={"method": "none"})})
    for plan in (own, other):
        made = optimize.compress(context, results["data"], teacher, plan)
        assert made.score == results["models"][3].checkpoint.validation_accuracy
        assert made.size_bytes == results["exported"].models[-1].artifact.size_bytes
    assert asked == [own] * 4 + [other] * 4
    assert Plan.of(context.recipe) == own


def test_a_recipes_own_plan_leaves_the_recipe_as_it_is(results: dict[str, Any]) -> None:
    context = results["context"]
    assert context.following(Plan.of(context.recipe)) == context


def test_a_plan_that_does_not_go_with_the_recipe_is_refused(results: dict[str, Any]) -> None:
    own = results["context"].recipe
    plan = Plan.of(own).model_copy(update={"quantize": own.quantize.model_copy(update={"precision": "fp16"})})
    with pytest.raises(RecipeError, match=r"plan: quantize\.precision is 'fp16' but compute\.gpus_per_worker is 0"):
        plan.applied_to(own)
