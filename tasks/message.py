"""A part of a conversation, as the data stage writes it and models read it."""

from typing import NamedTuple

PROMPT, COMPLETION = "prompt", "completion"
"""Roles of two texts that stand one after the other as they are: no chat template has a part in them."""


class Message(NamedTuple):
    """A part of a conversation, or a prompt or its completion."""

    role: str
    """system, user or assistant; `PROMPT` or `COMPLETION`."""
    content: str
    learned: bool
    """Whether it is an answer that the model is to write; all others it only reads."""
