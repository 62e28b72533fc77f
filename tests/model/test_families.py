"""Every architecture learns, is rounded, is saved and comes back."""

import copy

import pytest
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from hone.tasks.model.architectures.encoders import ENCODERS
from hone.tasks.model.architectures.use import use_of
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.training.fake_quantization import attach, plan_for, read_plan
from hone.tasks.objectives.learning import learning
from hone.tasks.quantize.trainable import save_quantized
from hone.tasks.train.supervised import Supervised
from tests.prune.encoders import BATCH, FAMILIES, logits, tiny
from tests.tiny import write_encoder

READS_FIRST = sorted(set(FAMILIES) - {"albert", "modernbert"})


def step(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The gradient of every weight that takes part in the loss of two rows."""
    module = Supervised(model.train(), learning("text-classification"))
    module({**BATCH, "labels": torch.tensor([0, 1])})["loss"].backward()
    model.eval()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def test_the_families_are_those_of_the_table() -> None:
    assert set(FAMILIES) == set(ENCODERS)


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_every_weight_learns_in_one_step_with_rounding_and_without(kind: str) -> None:
    plain, rounding = tiny(kind), tiny(kind)
    attach(rounding, plan_for(rounding, "dynamic", tables=True))
    weights = {name for name, _weight in plain.named_parameters() if "token_type" not in name}
    for gradients in (step(plain), step(rounding)):
        assert weights <= set(gradients)
        assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients.values())


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_rounded_model_answers_the_same_when_it_comes_back(kind: str, tmp_path) -> None:
    tokenizer = load_tokenizer(write_encoder(tmp_path / "encoder"))
    model = tiny(kind)
    exact, plan = logits(model), plan_for(model, "dynamic", tables=True)
    save_quantized(model, tokenizer, plan, tmp_path / "rounded")
    back = load_model(tmp_path / "rounded")
    found = logits(attach(back, read_plan(tmp_path / "rounded")))
    assert torch.allclose(found, logits(attach(model, plan)), atol=1e-6)
    assert not torch.allclose(found, exact, atol=1e-6)


@pytest.mark.parametrize("kind", READS_FIRST)
def test_a_head_that_reads_the_first_token_says_so(kind: str) -> None:
    assert use_of(tiny(kind)).first_token


@pytest.mark.parametrize("kind", READS_FIRST)
def test_a_head_that_reads_every_token_is_not_taken_for_one(kind: str) -> None:
    """The same encoder under a head that takes the mean of the tokens."""

    class Mean(type(tiny(kind))):
        def forward(self, input_ids, attention_mask):
            hidden = self.base_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mean = hidden.mean(dim=1)
            return SequenceClassifierOutput(logits=mean @ mean.T)

    model = tiny(kind)
    model.__class__ = Mean
    assert use_of(model).first_token == ()


def test_a_table_that_is_read_whole_and_a_layer_that_nobody_asks_are_not_rounded() -> None:
    model = tiny("deberta-v2")
    model.spare = torch.nn.Linear(4, 4)
    plan = plan_for(model, "dynamic", tables=True)
    assert plan.tables == ("deberta.embeddings.word_embeddings",)
    assert "spare" not in plan.linears


def test_looking_at_a_model_leaves_it_as_it_was() -> None:
    model = tiny("bert").train()
    before = copy.deepcopy(model.state_dict())
    use_of(model)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
