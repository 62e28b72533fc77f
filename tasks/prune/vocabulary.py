"""The vocabulary trimmed to the task: half of a small model's bytes are embeddings of tokens that the task never says.

The training texts keep their tokens, to the last one. A word never seen falls back as the tokenizer does it: to shorter
pieces, and to single characters, which all stay.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.linears import embeddings
from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from hone.tasks.model.text import Rows, TokenizedText, tokenize
from hone.tasks.prune.tokenizer_trimming import check_kind, keep_tokens, tokens_to_keep


def trim_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Rows,
    max_length: int,
    extra: int,
    encode: Callable[[PreTrainedTokenizerFast, Rows, int], TokenizedText] = tokenize,
) -> PreTrainedTokenizerFast:
    """Leaves the tokens of these rows, those any text falls back to, and `extra` more, the most frequent first.

    The model's word embeddings and config are changed in place; tokens keep their order and get new ids.

    Args:
        encode: how the task reads rows (`Learning.encode`).

    Returns:
        The tokenizer with the trimmed vocabulary.

    Raises:
        ModelError: when the tokenizer is of a kind that cannot be trimmed, or would cut the rows into other tokens.
    """
    specification = json.loads(tokenizer.backend_tokenizer.to_str())
    check_kind(specification)
    text = encode(tokenizer, rows, max_length)
    seen = set(np.unique(text.ids).tolist()) | _kept_always(model, tokenizer)
    kept = tokens_to_keep(specification, seen, _unknown_words(tokenizer, rows, text), extra)
    trimmed = _rewritten(tokenizer, kept)
    _check_same(text, encode(trimmed, rows, max_length), kept)
    keep_embeddings(model, kept)
    return trimmed


def keep_embeddings(model: PreTrainedModel, kept: list[int]) -> None:
    """Leaves only these rows of the word embeddings, in place, and renumbers the token ids that the config names."""
    table = model.get_input_embeddings()
    if not isinstance(table, nn.Embedding):
        raise ModelError(f"the word embeddings are a {type(table).__name__}: set prune.vocabulary=full")
    new = {old: index for index, old in enumerate(kept)}
    padding = None if table.padding_idx is None else new[table.padding_idx]
    weight = table.weight.detach()[torch.tensor(kept, device=table.weight.device)].clone()
    model.set_input_embeddings(nn.Embedding.from_pretrained(weight, freeze=False, padding_idx=padding))
    model.config.vocab_size = len(kept)
    for name, value in model.config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(model.config, name, new.get(value))


def _kept_always(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Special tokens; and where positions are counted from the padding's id, as in RoBERTa, all tokens up to it, so
    that it stays what it is."""
    counted = any("position" in name and table.padding_idx is not None for name, table in embeddings(model).items())
    return set(tokenizer.all_special_ids) | (set(range(tokenizer.pad_token_id)) if counted else set())


def _unknown_words(tokenizer: PreTrainedTokenizerFast, rows: Rows, text: TokenizedText) -> set[str]:
    """Words of the rows that become the unknown token."""
    if tokenizer.unk_token_id is None:
        return set()
    owners = np.searchsorted(text.offsets, np.flatnonzero(text.ids == tokenizer.unk_token_id), side="right") - 1
    backend = tokenizer.backend_tokenizer
    found: set[str] = set()
    for row in np.unique(owners if text.sources is None else text.sources[owners]).tolist():
        shown_apart = [rows.texts[row], *(rows.pairs or [])[row : row + 1]] if rows.tokens is None else rows.tokens[row]
        for shown in shown_apart:
            normal = backend.normalizer.normalize_str(shown) if backend.normalizer else shown
            words = backend.pre_tokenizer.pre_tokenize_str(normal) if backend.pre_tokenizer else [(normal, None)]
            found.update(word for word, _place in words)
    return {word for word in found if any(token.value == tokenizer.unk_token for token in backend.model.tokenize(word))}


def _rewritten(tokenizer: PreTrainedTokenizerFast, kept: list[int]) -> PreTrainedTokenizerFast:
    """The tokenizer as it comes back from disk with only these tokens."""
    new = {old: index for index, old in enumerate(kept)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer.save_pretrained(folder)
        specification = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        if "added_tokens_decoder" in config:
            decoder = config["added_tokens_decoder"]
            config["added_tokens_decoder"] = {str(new[int(old)]): token for old, token in decoder.items()}
        for path in folder.iterdir():
            path.unlink()  # vocabularies in older formats would contradict tokenizer.json
        (folder / "tokenizer.json").write_text(json.dumps(keep_tokens(specification, kept)), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        trimmed = load_tokenizer(folder)
    trimmed.model_input_names = list(tokenizer.model_input_names)  # the config that decides is not beside it
    return trimmed


def _check_same(before: TokenizedText, after: TokenizedText, kept: list[int]) -> None:
    same_cuts = np.array_equal(before.offsets, after.offsets)
    if same_cuts and np.array_equal(before.ids, np.asarray(kept, dtype=before.ids.dtype)[after.ids]):
        return
    raise ModelError(
        f"with the vocabulary trimmed to {len(kept)} tokens the tokenizer cuts training texts differently than before; "
        "set prune.vocabulary=full"
    )
