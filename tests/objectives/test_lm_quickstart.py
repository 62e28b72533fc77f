"""The decoder and the tokenizer of `make quickstart-lm`, as the recipe names them."""

from pathlib import Path

import pytest

from hone.configs.recipe import Recipe, load_recipe
from hone.tasks.export.generation_graph import builds
from hone.tasks.model.checkpoints.checkpoint import count_parameters, load_pretrained
from hone.tasks.model.training.fake_quantization import plan_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(ROOT / "configs" / "quickstart-lm.yaml")


def test_the_decoder_is_small_and_leaves_with_a_cache_and_in_blocks(recipe: Recipe) -> None:
    source = recipe.model.model_copy(update={"source": str(ROOT / recipe.model.source)})
    model, tokenizer = load_pretrained(source, [], 0, recipe.objective)
    assert 0.9e6 < count_parameters(model)[0] < 1e6
    assert len(tokenizer) == model.config.vocab_size
    assert builds(model)
    settings = recipe.quantize
    assert plan_for(model, recipe.quantization_scheme, True, bits=settings.bits, block=settings.block_size).block == 32
    text = "Parameters\n----------\nx : array_like\n    Values of shape ``(n, 12)``, such as 3.5e-7 or naïve ones.\n"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert len(ids) < 0.55 * len(text)  # it knows the words of docstrings
    assert tokenizer.eos_token_id not in ids


def test_the_recipe_goes_through_every_stage_and_times_the_next_token(recipe: Recipe) -> None:
    methods = [section.method for section in (recipe.distill, recipe.prune, recipe.quantize)]
    assert methods == ["logits", "structured", "qat"]
    assert [cell for cell in recipe.evaluate.cells if cell.endswith("+1")] == ["1x128+1"]
