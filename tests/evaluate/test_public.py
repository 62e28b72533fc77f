"""Golden requests of texts that anybody may read, and texts of the data as reports may show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hone.tasks.evaluate.public import ARTICLE, public_rows
from hone.tasks.texts import shown

MARKER = "planted-7731 name of a customer"


@given(count=st.integers(1, 64), length=st.integers(4, 64), pairs=st.booleans(), seed=st.integers(0, 9))
def test_requests_hold_public_words_alone_and_some_are_longer_than_the_model_reads(
    count: int, length: int, pairs: bool, seed: int
) -> None:
    rows = public_rows(count, pairs, length, seed)
    assert len(rows.texts) == count
    assert (rows.pairs is not None) == pairs
    words = set(ARTICLE.split())
    assert all(set(text.split()) <= words and text for text in [*rows.texts, *(rows.pairs or [])])
    assert count < 4 or max(len(text.split()) for text in rows.texts) >= length
    assert rows.texts == public_rows(count, pairs, length, seed).texts


@pytest.mark.parametrize(("how", "told"), [("shown", MARKER), ("none", "")])
def test_a_text_is_shown_as_it_is_or_not_at_all(how: str, told: str) -> None:
    assert shown(MARKER, how) == told  # type: ignore[arg-type]


def test_a_hashed_text_is_found_again_and_says_nothing() -> None:
    told = shown(MARKER, "hashed")
    assert told == shown(MARKER, "hashed") != shown(f"{MARKER}s", "hashed")
    assert told.startswith("sha256:")
    assert not set(MARKER.split()) & set(told.split())
