"""The words of a text in any script: between blanks, and where a script writes none, its characters.

Chinese, Japanese, Thai, Lao, Khmer and Burmese put no blanks between words. Of them each character with its marks
counts as a word, and each run of Katakana, as the default rules of the Unicode Standard have it.

Source: Unicode Standard Annex 29, Unicode Text Segmentation, default word boundaries.
"""

import re

KATAKANA = "\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f"
UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e"  # Thai
    "\u0e81-\u0eff"  # Lao
    "\u1000-\u109f\u1780-\u17d3"  # Burmese, Khmer
    "\u3005-\u3007\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Hiragana, Han
    f"{KATAKANA}"
)
MARKS = (
    "\u0e30-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ece"  # vowels and tones that follow their consonant
    "\u102b-\u103e\u1056-\u1059\u17b4-\u17d3\u3099\u309a\ufe00-\ufe0f"
)
BEFORE = "\u0e40-\u0e44\u0ec0-\u0ec4"  # Thai and Lao vowels that stand before their consonant
_WORD = re.compile(rf"\s*(?:[{KATAKANA}]+|[{BEFORE}]?[{UNSPACED}][{MARKS}]*|[^\s{UNSPACED}]+)")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def is_unspaced(text: str) -> bool:
    """Whether a script without blanks is in the text."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def pieces(text: str) -> list[str]:
    """The words of a text, each with the blanks before it: joined they are the text, less what blanks end it."""
    return _WORD.findall(text)


def words(text: str) -> list[str]:
    """The words of a text; punctuation stays with the word that it stands at."""
    return [piece.strip() for piece in pieces(text)] if is_unspaced(text) else text.split()
