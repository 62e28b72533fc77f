"""Texts are cleaned for training in bulk and for serving one by one, by two functions that have to be the same one: the
served file can import nothing of Hone."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hone.tasks.data.clean import normalizer
from hone.tasks.model.runtime.runtime import clean

LETTERS = st.characters(exclude_categories=("Cs",))  # halves of a pair, which no text has, are bad rows
TELLING = st.sampled_from("İıßſﬁÅe\u0301\u0345ΑΣς¡«—…'$+^`|~_\u00a0\u1680\u2028\u200b\t\x1c\x85\u3000。한\u1112\u1161")
"""Letters that grow, combine or change with their neighbours when lower-cased or composed, ASCII symbols that are no
punctuation to Unicode, and blanks of every kind."""
TEXTS = st.lists(st.one_of(LETTERS, TELLING), max_size=40).map("".join)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("strip_punctuation", [False, True])
@settings(deadline=None, max_examples=200)
@given(text=TEXTS)
@example("  A\tcafe\u0301,\u00a0“naïve”  $5 ")
@example("ΟΔΟΣ. İstanbul")
def test_a_text_is_served_as_it_was_learned_from(lowercase: bool, strip_punctuation: bool, text: str) -> None:
    learned = normalizer(lowercase, strip_punctuation)(text)
    assert clean(text, lowercase=lowercase, strip_punctuation=strip_punctuation) == learned
    # What was learned from stays as it is when it is asked about, as a golden request is.
    assert clean(learned, lowercase=lowercase, strip_punctuation=strip_punctuation) == learned
