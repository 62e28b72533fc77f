"""Perturbed copies of a text, for the teacher to label: more of its knowledge than the training texts alone show."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from hone.tasks.words import is_unspaced, pieces
from hone.tasks.words import words as words_of

REPLACED = 0.2  # share of words replaced by a neighbour; 0.1 in two joined pieces, which are strange enough
MASKED = 0.05  # share of words replaced by the mask token
JOINED = 0.2  # share of copies that join a piece of their text with a piece of another
CUT = 0.3  # share of copies that are a piece of their text
SHORTEST_PIECE = 0.2  # of the text's words
NEIGHBOURS = 8  # words that may stand in for a word
WORDS_AT_ONCE = 1000
Neighbours = Mapping[str, Sequence[str]]
Text = TypeVar("Text")


def augment(
    texts: Sequence[str], copies: int, seed: int, mask_token: str | None = None, neighbours: Neighbours | None = None
) -> list[str]:
    """Copies of each text, some cut to a piece or joined with another's, with words replaced by neighbours or masked.

    The same seed gives the same copies, and a larger `copies` only adds to them.

    Args:
        mask_token: the teacher's, as it stands in text; None for a tokenizer without one: then nothing is masked.
        neighbours: what may stand in for a word (see `word_neighbours`); None: nothing.

    Returns:
        copies * len(texts) texts: the first copy of every text, then the second one, and so on.

    Source: masking and pieces are Tang et al. 2019, arXiv:1903.12136, section 3.3; replacing words by the nearest ones
    in an embedding table is Jiao et al. 2020 (TinyBERT), arXiv:1909.10351, algorithm 1.
    """
    result = []
    for copy in range(copies):
        rng = random.Random(f"{seed} {copy}")
        result += [
            "".join(_perturbed(text, texts, pieces, rng, mask_token, neighbours or {})).strip() for text in texts
        ]
    return result


def augment_words(
    sentences: Sequence[Sequence[str]],
    copies: int,
    seed: int,
    mask_token: str | None = None,
    neighbours: Neighbours | None = None,
) -> list[list[str]]:
    """Copies of sentences whose words are told apart already, as `augment` makes those of texts; each word is one, also
    where it has blanks in it."""
    result = []
    for copy in range(copies):
        rng = random.Random(f"{seed} {copy}")
        for words in sentences:
            perturbed = _perturbed(words, sentences, list, rng, mask_token, neighbours or {})
            result.append([word.strip() for word in perturbed])
    return result


def word_neighbours(
    tokenizer: PreTrainedTokenizerFast, embeddings: Tensor, texts: Iterable[str]
) -> dict[str, list[str]]:
    """For each word of the texts that is one token, the others of them whose embeddings point most nearly its way.

    Args:
        embeddings: the encoder's word embeddings [vocabulary, width].
    """
    words = sorted({word for text in texts for word in words_of(text) if len(word) > 1 or is_unspaced(word)})
    # A word is cut as it would be inside a text, where a space goes before it.
    split = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"] if words else []
    known = {word: ids[0] for word, ids in zip(words, split, strict=True) if len(ids) == 1}
    known = {word: index for word, index in known.items() if index != tokenizer.unk_token_id}
    words, table = list(known), F.normalize(embeddings.detach().float()[list(known.values())], dim=1)
    count = min(NEIGHBOURS + 1, len(words))
    result: dict[str, list[str]] = {}
    for start in range(0, len(words), WORDS_AT_ONCE):
        nearest = (table[start : start + WORDS_AT_ONCE] @ table.T).topk(count, dim=1).indices.tolist()
        for word, indices in zip(words[start:], nearest, strict=False):
            result[word] = [words[index] for index in indices if words[index] != word][:NEIGHBOURS]
    return result


def _perturbed(
    text: Text,
    texts: Sequence[Text],
    split: Callable[[Text], list[str]],
    rng: random.Random,
    mask_token: str | None,
    neighbours: Neighbours,
) -> list[str]:
    """Words, each with the blanks before it."""
    own, kind, replaced = split(text), rng.random(), REPLACED
    if kind < JOINED:
        first, second = _piece(own, rng), _piece(split(rng.choice(texts)), rng)
        own, replaced = [*first, f" {second[0].lstrip()}", *second[1:]] if second else first, REPLACED / 2
    elif kind < JOINED + CUT:
        own = _piece(own, rng)
    result = []
    for piece in own:
        word = piece.lstrip()
        blanks, fate = piece[: len(piece) - len(word)], rng.random()
        if fate < replaced and neighbours.get(word):
            result.append(blanks + rng.choice(neighbours[word]))
        elif fate > 1 - MASKED and mask_token is not None:
            result.append(blanks + mask_token)
        else:
            result.append(piece)
    return result


def _piece(words: list[str], rng: random.Random) -> list[str]:
    """A run of the words; of one or two words, all."""
    if len(words) < 3:
        return words
    size = rng.randint(max(2, int(SHORTEST_PIECE * len(words))), len(words))
    start = rng.randint(0, len(words) - size)
    return words[start : start + size]
