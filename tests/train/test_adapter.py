"""LoRA: adapters begin as nothing, train alone, and leave as weights of a plain model."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from hone.configs.model import TrainSettings
from hone.configs.recipe import RecipeError, parse_recipe
from hone.tasks.errors import ModelError
from hone.tasks.model.training.optimizer import make_optimizer
from hone.tasks.train import adapter
from hone.tasks.train.adapter import add_adapters, merged
from tests.prune.decoders import BATCH, tiny

SETTINGS = TrainSettings(adapter="lora", lora_rank=4, lora_alpha=8, learning_rate=0.01)
WRITES = {
    "name": "t",
    "task": "text-generation",
    "data": {"train": "texts.txt", "document_column": "text"},
    "model": {"source": "some/decoder"},
}


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(**BATCH).logits


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_what_was_learned_in_adapters_is_in_the_weights_of_a_plain_model(kind: str, tmp_path: Path) -> None:
    model = tiny(kind, layers=2)
    before, names = logits(model), set(model.state_dict())
    frozen = {name: value.clone() for name, value in model.state_dict().items()}
    add_adapters(model, SETTINGS)
    assert torch.equal(logits(model), before)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    assert not any("lm_head" in name or "embed" in name or "wte" in name for name in trained)
    optimizer = make_optimizer(model, SETTINGS)
    for _step in range(3):
        model(**BATCH, labels=BATCH["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    learned = logits(model)
    assert (learned - before).abs().max() > 1e-2
    plain = merged(model)
    assert set(plain.state_dict()) == names
    assert torch.allclose(logits(plain), learned, atol=1e-4)
    assert all(parameter.requires_grad for parameter in plain.parameters())
    plain.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert torch.allclose(logits(again), learned, atol=1e-4)
    assert not (tmp_path / "adapter_config.json").exists()
    assert torch.allclose(logits(model), learned, atol=1e-6)  # training goes on from the adapters
    base = {name.replace(".base_layer", ""): value for name, value in model.state_dict().items() if "lora_" not in name}
    assert all(torch.equal(base[name], value) for name, value in frozen.items())


def test_a_model_without_adapters_is_itself() -> None:
    model = tiny("llama", layers=1)
    assert merged(model) is model


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'hone\[lora\]', or set train.adapter=none"):
        add_adapters(tiny("llama", layers=1), SETTINGS)


def test_adapters_are_for_models_that_write() -> None:
    assert parse_recipe(WRITES | {"train": {"adapter": "lora"}}).train.lora_rank == 16
    with pytest.raises(RecipeError, match=r"train.adapter is 'lora' but task is 'text-classification'"):
        parse_recipe(
            {"name": "t", "data": {"train": "a.csv"}, "model": {"source": "x/y"}, "train": {"adapter": "lora"}}
        )
