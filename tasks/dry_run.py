"""One batch of the recipe's own data through the encoder, before anything is trained.

What depends on the architecture, the tokenizer and the data together fails here, in seconds, and not after hours: the
real encoder answers one batch, as it is and rounded to 8 bits, and learns from it once, and one layer of it is exported
and served.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.configs.delivery import decodes, parse_cell
from hone.configs.model import PATTERN_METHODS
from hone.configs.recipe import Recipe
from hone.tasks.distill.student import check_tokens, layers_kept, other_student
from hone.tasks.errors import HoneError, ModelError, PreflightError
from hone.tasks.model.architectures.abilities import check_abilities
from hone.tasks.model.checkpoints.checkpoint import load_pretrained
from hone.tasks.model.checkpoints.problems import LIBRARY_ERRORS, in_one_line
from hone.tasks.model.checkpoints.safety import check_fit
from hone.tasks.model.checkpoints.source import resolve_source
from hone.tasks.model.text import Batch, Rows, TokenizedText, make_batch, model_inputs, texts_of
from hone.tasks.model.training.fake_quantization import attach, detach, plan_for
from hone.tasks.objectives.learning import learning_of
from hone.tasks.prune.patterns import check_widths
from hone.tasks.rehearsal import rehearse


@dataclass(frozen=True)
class Facts:
    """What was found."""

    model_type: str
    layers: int
    parameters: int


def dry_run(recipe: Recipe, rows: Rows, labels: list[str]) -> Facts:
    """Asks the architectures for what the recipe wants of them, and takes some rows through the real encoders.

    Args:
        rows: a batch, the longest texts among them.
        labels: names by id.

    Raises:
        ModelError: naming the step that does not work for this encoder and these data, or the layers that a pattern
            of pruning does not fit.
        UnsafeFileError: when loading it would take a pickle or code of the model's own.
    """
    model, tokenizer = load_pretrained(recipe.model, labels, 0, recipe.objective)
    facts = check_fit(recipe.model.source, model, tokenizer, recipe.model.max_length)
    check_cells(recipe, facts["max_positions"])
    other = None
    if _has_other_student(recipe):
        folder = resolve_source(recipe.distill.student, recipe.distill.student_revision, "distill.student")
        other = other_student(folder, recipe.model, labels, 0, recipe.objective)
    check_abilities(recipe, model.config.model_type, other and other[0].config.model_type)
    if recipe.prune.method in PATTERN_METHODS:
        check_widths(other[0] if other is not None else model, recipe.prune.pattern)
    if recipe.distill.method != "none" and other is None:
        layers_kept(recipe.distill, model.config.num_hidden_layers)
    one_step(recipe.model.source, model, tokenizer, rows, recipe.model.max_length)
    with _step(recipe.model.source, "one layer, exported and served,"):
        rehearse(recipe, recipe.model.source, model, tokenizer, rows)
    if other is not None:
        check_tokens(recipe.distill, tokenizer, other[1], texts_of(rows), recipe.objective)
        one_step(recipe.distill.student, *other, rows, recipe.model.max_length)
        with _step(recipe.distill.student, "one layer, exported and served,"):
            rehearse(recipe, recipe.distill.student, *other, rows)
    return Facts(facts["model_type"], facts["layers"], facts["parameters"])


def check_cells(recipe: Recipe, positions: int | None) -> None:
    """Whether the model reads texts as long as it is to be timed with; the evaluation would come to it after all the
    training.

    Raises:
        PreflightError: naming the cells that are too long.
    """
    longer = [
        cell
        for cell in recipe.evaluate.cells
        if positions is not None and parse_cell(cell)[1] + decodes(cell) > positions
    ]
    if longer:
        raise PreflightError(
            f"evaluate.cells has {', '.join(longer)}, but {recipe.model.source} reads at most {positions} tokens: "
            "leave them out, e.g. --set 'evaluate.cells=[1x16, 1x32]'"
        )


def one_step(source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Rows, length: int) -> None:
    """Has the encoder answer a batch and learn from it once; its weights stay as they are.

    Raises:
        ModelError: when it cannot, or when what it answers is not finite.
    """
    objective = learning_of(model.config)
    text = objective.encode(tokenizer, rows, length)
    check_ids(source, model, text)
    with _step(source, "one batch of the data, forward, backward and rounded,"):
        batch = make_batch(text, np.arange(min(len(text), objective.rows_at_once)), int(tokenizer.pad_token_id), "cpu")
        model.train()
        try:
            loss = _loss(model, batch)
            loss.backward()
            with torch.no_grad():
                plan = plan_for(model, "dynamic", tables=True)
                _loss(attach(model, plan), batch)
                detach(model)
        finally:
            model.eval()
            model.zero_grad()
        if not bool(torch.isfinite(loss)):
            raise ModelError(
                f"model.source = '{source}': one batch of the data gives a loss of {float(loss)}: its weights cannot "
                "be trained; take another checkpoint of it"
            )


def check_ids(source: str, model: PreTrainedModel, text: TokenizedText) -> None:
    """Whether the model has a row for every token and every token type of these texts.

    Raises:
        ModelError: when it has not.
    """
    words = int(model.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    if len(text.ids) and int(text.ids.max()) >= words:
        raise ModelError(
            f"model.source = '{source}': its tokenizer gives token {int(text.ids.max())}, and its model knows {words}: "
            "they do not belong together; take tokenizer and model from the same place"
        )
    kinds = getattr(model.config, "type_vocab_size", None)
    if text.type_ids is not None and kinds is not None and len(text) and int(text.type_ids.max()) >= kinds:
        raise ModelError(
            f"model.source = '{source}': its tokenizer gives {int(text.type_ids.max()) + 1} token types, and its model "
            f"knows {kinds}: take tokenizer and model from the same place"
        )


def _loss(model: PreTrainedModel, batch: Batch) -> Tensor:
    return learning_of(model.config).loss(model(**model_inputs(batch)), batch).sum()


def _has_other_student(recipe: Recipe) -> bool:
    return recipe.distill.method != "none" and bool(recipe.distill.student)


@contextmanager
def _step(source: str, what: str) -> Iterator[None]:
    """Says which step it was that a library could not do."""
    try:
        yield
    except HoneError:
        raise
    except LIBRARY_ERRORS as error:
        raise ModelError(
            f"model.source = '{source}': {what} does not work for this encoder: {type(error).__name__}: "
            f"{in_one_line(error)}: take another encoder, or one whose tokenizer and model belong together"
        ) from error
