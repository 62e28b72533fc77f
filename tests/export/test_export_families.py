"""Encoders that are built otherwise than BERT go the whole way: trained, rounded in both ways, exported, served."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from hone.configs.recipe import Recipe, parse_recipe
from hone.tasks import store
from hone.tasks.contracts import PreparedData, StageRecord
from hone.tasks.distill.task import distill_student
from hone.tasks.export.export import export_checkpoint
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.runtime.delivered import default_session, deliver
from hone.tasks.model.runtime.runtime import Classifier
from hone.tasks.model.training.fake_quantization import attach, read_plan
from hone.tasks.prune.task import prune_student
from hone.tasks.quantize.task import quantize_student
from hone.tasks.stage import RunContext
from hone.tasks.train.task import train_teacher
from tests.model.teaching_fixtures import write_data
from tests.prune.encoders import FAMILIES
from tests.tiny import sentences, write_encoder

pytestmark = pytest.mark.usefixtures("works_here")
KINDS = ["albert", "deberta-v2", "modernbert", "mpnet"]
TEXTS = [text for text, _label in sentences(24, seed=9)]


def write_family(folder: Path, kind: str) -> Path:
    """An encoder of an architecture with one layer, as each takes the exporter long, and the tests' tokenizer."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(write_encoder(folder))
    if kind != "albert":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    config = copy.deepcopy(FAMILIES[kind])
    config.vocab_size, config.pad_token_id, config.num_hidden_layers = len(tokenizer), tokenizer.pad_token_id, 1
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:1]
    config.save_pretrained(folder)
    return folder


class Stages:
    """From the encoder to the model that is served, without what these architectures cannot do."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        write_family(folder / "encoder", kind)
        data = store.describe(write_data(folder / "data"), [])
        rows = {"train": 40, "validation": 20}
        self.data = PreparedData(
            record=StageRecord(name="data", status="ran", reason="", seconds=0.0),
            artifact=data,
            content_digest=data.digest,
            labels=["bad", "good"],
            rows=rows,
        )

    def recipe(self, method: str) -> Recipe:
        off = {"method": "none"}
        return parse_recipe(
            {
                "data": {"train": "unused.csv"},
                "model": {"source": str(self.folder / "encoder"), "weights": "random", "max_length": 32},
                "train": {"epochs": 1, "learning_rate": 2e-3},
                "distill": off,
                "prune": off,
                "quantize": {"method": method, "epochs": 1, "max_sensitive_layers": 0},
            }
        )

    def rounded(self, method: str) -> Path:
        """The checkpoint that is exported."""
        recipe = self.recipe(method)
        context = RunContext(recipe=recipe, output=str(self.folder / "out"), storage=str(self.folder / "storage"))
        teacher = train_teacher.fn(context, self.data)
        pruned = prune_student.fn(context, self.data, teacher, distill_student.fn(context, self.data, teacher))
        made = quantize_student.fn(context, self.data, teacher, pruned)
        return store.open_artifact(made.checkpoint.artifact)

    def served(self, method: str, checkpoint: Path) -> Classifier:
        room = self.folder / method
        export_checkpoint(self.kind, checkpoint, room / "exported", opset=18, for_cpu=True)
        return Classifier(deliver(room / "exported", room / "model", default_session(self.recipe(method))))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_trained_and_rounded_is_what_is_served_in_integers(kind: str, tmp_path: Path) -> None:
    """Exported is the one of the two that learned with the rounding in the loop: both are rounded in one form."""
    torch.set_num_threads(1)
    stages = Stages(tmp_path, kind)
    checkpoint = stages.rounded("qat")
    plan, without_training = read_plan(checkpoint), read_plan(stages.rounded("ptq"))
    assert (plan.linears, plan.first_token) == (without_training.linears, without_training.first_token)
    assert len(plan.linears) >= 4
    model, tokenizer = attach(load_model(checkpoint), plan), load_tokenizer(checkpoint)
    assert model.config.model_type == kind
    with torch.no_grad():
        expected = np.array([model(**tokenizer(text, return_tensors="pt")).logits.numpy()[0] for text in TEXTS])
    found = stages.served("qat", checkpoint).logits(TEXTS, None)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.02 * expected.std()
