"""Conversations as what a language model learns of them: rows of tokens with the answers' tokens as targets.

Each conversation is a row of its own, or several where it is longer than the model reads, and rows are padded. Packed
into blocks, as documents are, a block would begin in an answer whose question stands in the one before. Of a long one
each token of an answer is a target once, with at least half a window before it, and none is left out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hone.tasks.errors import DataError
from hone.tasks.message import Message
from hone.tasks.model.text import NO_TARGET, TokenizedText
from hone.tasks.objectives.text_generation.chat import ChatTemplate, Encoded, added_tokens, encode
from hone.tasks.objectives.text_generation.generating import Windows, windows_of

CHARACTERS_AT_ONCE = 4_000_000
"""Lists of Python integers take ten times the room of the text."""


def template_of(tokenizer: Any) -> ChatTemplate | None:
    """The chat template of a tokenizer of transformers; None where it has none."""
    if tokenizer.chat_template is None:
        return None
    return ChatTemplate(
        tokenizer.get_chat_template(), tokenizer.special_tokens_map, added_tokens(tokenizer.backend_tokenizer)
    )


def encoded(tokenizer: Any, conversations: Sequence[Sequence[Message]], boundary: int) -> list[Encoded]:
    """Token ids of each conversation, and which of them are learned.

    Args:
        tokenizer: of transformers.
        boundary: id of the token between documents.

    Raises:
        DataError: when the tokenizer has no chat template and needs one, or its template refuses a conversation or does
            not tell where the answers stand.
    """

    def tokenize(texts: list[str]) -> Any:
        found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return zip(found["input_ids"], found["offset_mapping"], strict=True)

    result: list[Encoded] = []
    try:
        template = template_of(tokenizer)
        for part in _parts(conversations):
            result += encode(part, template, tokenize, boundary)
    except ValueError as error:
        raise DataError(str(error)) from error
    return result


def rows_of(windows: Windows) -> TokenizedText:
    """Windows as rows to learn from: the label of a token is the one after it, where that is scored."""
    last = np.zeros(len(windows.ids), np.bool_)
    last[windows.offsets[1:] - 1] = True  # its next token is not in the window
    following = np.where(windows.scored[1:], windows.ids[1:].astype(np.int64), NO_TARGET)
    labels = np.append(following, NO_TARGET)[~last] if len(last) else np.zeros(0, np.int64)
    offsets = windows.offsets - np.arange(len(windows.offsets))
    counts = np.add.reduceat(labels != NO_TARGET, offsets[:-1]) if len(windows) else np.zeros(0)
    return TokenizedText(
        ids=windows.ids[~last],
        offsets=offsets,
        type_ids=None,
        labels=labels,
        by_token=True,
        weights=counts.astype(np.int64),
        sources=windows.documents,
    )


def learned_rows(
    tokenizer: Any, conversations: Sequence[Sequence[Message]], max_length: int, boundary: int
) -> TokenizedText:
    """Conversations as rows of at most `max_length` tokens.

    Raises: as `encoded`.
    """
    return rows_of(windows_of(encoded(tokenizer, conversations, boundary), max_length + 1))


def _parts(conversations: Sequence[Sequence[Message]]) -> list[Sequence[Sequence[Message]]]:
    """As many at once as have so many characters together."""
    if not conversations:
        return []
    sizes = [sum(len(message.content) for message in one) for one in conversations]
    starts, size = [0], 0
    for index, own in enumerate(sizes):
        if size and size + own > CHARACTERS_AT_ONCE:
            starts.append(index)
            size = 0
        size += own
    return [conversations[start:end] for start, end in zip(starts, [*starts[1:], len(sizes)], strict=True)]
