"""Which tokens of a vocabulary have to stay for given texts to keep theirs, and a tokenizer.json with only these.

Works on the specification that a tokenizer.json holds, of the three kinds that encoders use:

- WordPiece takes the longest piece that fits. A piece that was taken stays taken when others go.
- BPE merges the pair of lowest rank. A merge that was made stays the lowest when others go, so the texts' tokens stay
  with every merge that leads to them.
- Unigram takes the likeliest segmentation. It stays the likeliest when others go, and the penalty of an unknown
  character hangs on the least likely piece of all, so that one stays too.
"""

import itertools
import re
from collections.abc import Iterable
from typing import Any

from hone.tasks.errors import ModelError

Specification = dict[str, Any]
KINDS = ("WordPiece", "BPE", "Unigram")
NEVER_SAID = re.compile(r"\[unused\d+\]|madeupword\d+")  # fillers that BERT and RoBERTa count as frequent
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def check_kind(specification: Specification) -> None:
    """Refuses a tokenizer whose vocabulary cannot be trimmed.

    Raises:
        ModelError: when the tokenizer is of a kind whose vocabulary cannot be trimmed, naming it.
    """
    model = specification["model"]
    kind = model["type"]
    if kind not in KINDS:
        raise ModelError(
            f"the tokenizer is a {kind}, and prune.vocabulary=seen can trim {', '.join(KINDS)}: set "
            "prune.vocabulary=full"
        )
    if kind == "BPE" and (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")):
        raise ModelError(
            "the tokenizer is a BPE with a prefix or suffix on its pieces, and prune.vocabulary=seen can trim only one "
            "without, such as RoBERTa's: set prune.vocabulary=full"
        )


def tokens_to_keep(specification: Specification, seen: set[int], unknown_words: Iterable[str], extra: int) -> list[int]:
    """Token ids that stay, in rising order.

    Args:
        seen: ids of the tokens of the texts.
        unknown_words: words of the texts that the tokenizer knows no pieces for: they have to stay unknown.
        extra: how many more stay, in the order of their ids, which is that of their frequency.
    """
    vocabulary = token_ids(specification)
    names = {index: token for token, index in vocabulary.items()}
    added = {token["id"] for token in specification["added_tokens"]}
    model = specification["model"]
    prefix = model.get("continuing_subword_prefix") or ""
    kept = seen | added | {index for token, index in vocabulary.items() if _is_fallback(token.removeprefix(prefix))}
    if model["type"] == "Unigram":
        kept.add(min(range(len(model["vocab"])), key=lambda index: model["vocab"][index][1]))
    if model["type"] == "WordPiece":
        kept |= {vocabulary[piece] for word in unknown_words for piece in _pieces_before_failure(specification, word)}
    kept |= _on_the_way(specification, kept)
    more = (index for index in sorted(names) if index not in kept and not NEVER_SAID.fullmatch(names[index]))
    kept |= {index for index, _ in zip(more, range(extra), strict=False)}
    return sorted(kept | _on_the_way(specification, kept))


def keep_tokens(specification: Specification, kept: list[int]) -> Specification:
    """The specification with these tokens only, numbered anew in the same order."""
    new = {old: index for index, old in enumerate(kept)}
    model = dict(specification["model"])
    if model["type"] == "Unigram":
        model["vocab"] = [piece for index, piece in enumerate(model["vocab"]) if index in new]
        model["unk_id"] = None if model["unk_id"] is None else new[model["unk_id"]]
    else:
        model["vocab"] = {token: new[index] for token, index in model["vocab"].items() if index in new}
    if model["type"] == "BPE":
        wanted = merges_for(specification, set(kept))
        model["merges"] = [merge for merge in model["merges"] if _pair(merge) in wanted]
    padding = specification["padding"]
    return {
        **specification,
        "model": model,
        "added_tokens": [{**token, "id": new[token["id"]]} for token in specification["added_tokens"]],
        "post_processor": _renumbered(specification["post_processor"], new),
        "padding": None if padding is None else {**padding, "pad_id": new[padding["pad_id"]]},
    }


def token_ids(specification: Specification) -> dict[str, int]:
    """Ids by token, of the model and of what was added to it."""
    vocabulary = specification["model"]["vocab"]
    if isinstance(vocabulary, list):
        vocabulary = {piece: index for index, (piece, _score) in enumerate(vocabulary)}
    return {**vocabulary, **{token["content"]: token["id"] for token in specification["added_tokens"]}}


def _on_the_way(specification: Specification, kept: set[int]) -> set[int]:
    """Tokens of a BPE that merges need to arrive at the kept ones."""
    if specification["model"]["type"] != "BPE":
        return set()
    vocabulary = specification["model"]["vocab"]
    return {vocabulary[token] for pair in merges_for(specification, kept) for token in (*pair, "".join(pair))}


def merges_for(specification: Specification, kept: set[int]) -> set[tuple[str, str]]:
    """All merges of a BPE on the way to the kept tokens. How a token is made does not hang on its neighbours."""
    ranks = {_pair(merge): rank for rank, merge in enumerate(specification["model"]["merges"])}
    result: set[tuple[str, str]] = set()
    for token, index in specification["model"]["vocab"].items():
        if index in kept:
            made = _derivation(token, ranks)
            if made and "".join(made[-1]) == token:  # special tokens are in the vocabulary, and no merges lead there
                result.update(made)
    return result


def _derivation(token: str, ranks: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    """The merges by which BPE makes a token of its characters, in order."""
    parts = list(token)
    made = []
    while len(parts) > 1:
        pair = min(itertools.pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if pair not in ranks:
            break
        made.append(pair)
        merged: list[str] = []
        for part in parts:
            if merged and (merged[-1], part) == pair:
                merged[-1] += part
            else:
                merged.append(part)
        parts = merged
    return made


def _is_fallback(token: str) -> bool:
    """Whether any text may need the token: a single character, or a byte."""
    return len(token) == 1 or BYTE.fullmatch(token) is not None


def _pieces_before_failure(specification: Specification, word: str) -> list[str]:
    """The pieces that WordPiece takes before it finds none that fits. Without them it would take others, and might not
    fail."""
    model = specification["model"]
    result: list[str] = []
    start = 0
    while start < len(word) <= model["max_input_chars_per_word"]:
        prefix = model["continuing_subword_prefix"] if start else ""
        longest_first = range(len(word), start, -1)
        end = next((end for end in longest_first if prefix + word[start:end] in model["vocab"]), None)
        if end is None:
            break
        result.append(prefix + word[start:end])
        start = end
    return result


def _pair(merge: Any) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _renumbered(processor: Any, new: dict[int, int]) -> Any:
    """A post-processor whose special tokens have their new ids."""
    if processor is None:
        return None
    changed = dict(processor)
    if processor["type"] == "Sequence":
        changed["processors"] = [_renumbered(inner, new) for inner in processor["processors"]]
    elif processor["type"] == "TemplateProcessing":
        changed["special_tokens"] = {
            name: {**token, "ids": [new[index] for index in token["ids"]]}
            for name, token in processor["special_tokens"].items()
        }
    elif processor["type"] in ("BertProcessing", "RobertaProcessing"):
        for name in ("sep", "cls"):
            token, index = processor[name]
            changed[name] = [token, new[index]]
    return changed
