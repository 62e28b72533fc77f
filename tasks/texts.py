"""Texts of the data in what a run leaves behind: as they are, as a digest, or not at all (`report.texts`)."""

import hashlib

from hone.configs.delivery import Texts

DIGITS = 16


def shown(text: str, how: Texts) -> str:
    """A text as reports and artifacts may hold it.

    `hashed` is the beginning of the sha256 of the cleaned text: whoever has the data finds the row, and whoever guesses
    a text can see that it is there.
    """
    if how == "shown":
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}" if how == "hashed" else ""
