"""One layer of the recipe's encoder goes the way of the model that ships, before anything is trained.

Saved, exported, rewritten, rounded where the recipe rounds, written with its tokenizer and asked by the file that
serves: what one of these cannot do with an architecture or a tokenizer fails here, in seconds.
"""

import copy
import tempfile
from pathlib import Path

import numpy as np
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from hone.configs.recipe import Recipe
from hone.tasks.errors import ModelError
from hone.tasks.export.export import export_checkpoint
from hone.tasks.export.task import text_settings
from hone.tasks.model.checkpoints.checkpoint import drawn, save_model
from hone.tasks.model.runtime.delivered import default_session, deliver, open_answerer, open_generator, open_tagger
from hone.tasks.model.runtime.runtime import Classifier, TextSettings
from hone.tasks.model.text import Rows
from hone.tasks.model.training.fake_quantization import plan_for, snap_to_grid
from hone.tasks.objectives.question_answering.answering import WIDTH
from hone.tasks.objectives.text_generation.generating import STEP

PROMPTS, PROMPT_TOKENS = 2, 8
"""What a decoder is asked to continue."""
SCALE = 0.03
"""In place of the static ranges that calibration would find."""


def rehearse(
    recipe: Recipe, source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Rows
) -> None:
    """Exports and serves one layer of a model, with weights drawn at random.

    Args:
        source: what the recipe calls the model.
        rows: what it is asked.

    Raises:
        HoneError: of the step that does not work.
        ModelError: when what it answers is not one finite number for each label, or not all the numbers of an answer.
    """
    what = "questions" if rows.spans is not None else "texts" if rows.tokens is None else "words"
    what = "prompts" if recipe.task == "text-generation" else what
    with tempfile.TemporaryDirectory(prefix="hone-rehearsal-") as name:
        room = Path(name)
        small = drawn(room, one_layer(model))
        if recipe.quantize.method != "none":
            settings = recipe.quantize
            plan = plan_for(
                small, recipe.quantization_scheme, tables=True, bits=settings.bits, block=settings.block_size
            )
            if plan.scheme == "static":
                plan = plan.with_scales(dict.fromkeys(plan.linears, SCALE))
            small = snap_to_grid(small, plan)
        save_model(small, tokenizer, room / "checkpoint")
        if recipe.quantize.method != "none":
            plan.write(room / "checkpoint")
        export_checkpoint(
            source,
            room / "checkpoint",
            room / "exported",
            opset=recipe.export.opset,
            for_cpu=recipe.export.providers[0] == "cpu",
            texts=TextSettings(**text_settings(recipe)),
        )
        delivered = deliver(room / "exported", room / "model", default_session(recipe))
        width = model.config.num_labels
        if recipe.task == "text-generation":
            generator = open_generator(delivered)
            prompts = [ids[:PROMPT_TOKENS] for ids in generator.reader.encode(rows.texts[:PROMPTS])]
            steps = [generator.steps([generator.reader.boundary, *ids], most=1) for ids in prompts]
            asked, width, logits = len(prompts), STEP, np.concatenate(steps)
        elif rows.spans is not None and rows.pairs is not None:
            asked, width = len(rows), WIDTH
            logits = open_answerer(delivered).numbers(rows.texts, rows.pairs)
        elif rows.tokens is None:
            asked, logits = len(rows), Classifier(delivered).logits(rows.texts, rows.pairs)
        else:
            asked, logits = sum(map(len, rows.tokens)), open_tagger(delivered).logits(rows.tokens)
    if logits.shape != (asked, width) or not np.isfinite(logits).all():
        raise ModelError(
            f"model.source = '{source}': one of its layers, exported, answers {asked} {what} with "
            f"{logits.shape} numbers, of which {int((~np.isfinite(logits)).sum())} are not finite: take another encoder"
        )


def one_layer(model: PreTrainedModel) -> PretrainedConfig:
    """The model's configuration with its first layer alone."""
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = 1
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:1]
    return config
