"""Which texts count as the same: those that differ only in case, punctuation or blanks."""

import functools
import hashlib
import string
import sys
import unicodedata

SEPARATOR = "\x1f"  # counts as whitespace to Python, so normalised text never holds it
KEY_BYTES = 16
LEFT_OUT = ("P", "Z", "Cc", "Cf")
"""Unicode categories that tell no text from another: punctuation, blanks, control and format characters."""


def text_key(text: str, pair: str | None = None) -> bytes:
    """A digest, `KEY_BYTES` long, that texts share which differ only in case, punctuation or blanks.

    Of a pair, both texts count: a premise with another hypothesis is another text. A text of nothing but punctuation
    is the same as itself alone.
    """
    parts = [_bare(text), *([_bare(pair)] if pair is not None else [])]
    return hashlib.blake2b(SEPARATOR.join(parts).encode(), digest_size=KEY_BYTES).digest()


def _bare(text: str) -> str:
    return text.casefold().translate(_told_by_nothing()) or text


@functools.cache
def _told_by_nothing() -> dict[int, None]:
    codes = (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith(LEFT_OUT))
    return dict.fromkeys([*codes, *map(ord, string.punctuation)])
