"""Schemes of tags: understood, told apart, and one normal form."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hone.tasks.objectives.token_classification.tags import (
    Entity,
    Scheme,
    TagError,
    detect_scheme,
    entities,
    from_iob2,
    split_tag,
    tag_names,
    to_iob2,
    type_names,
)

SCHEMES: list[Scheme] = ["IOB1", "IOB2", "IOBES", "BILOU"]
ANY = st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]), max_size=9)
VALID = ANY.map(lambda tags: from_iob2(tags, "IOB2"))


def by_definition(tags: Sequence[str]) -> set[Entity]:
    """seqeval's strict entities of IOB2 as one sentence: a B-, all of its I- behind it, and no further one."""
    return {
        Entity(kind, start, end)
        for kind in "ab"
        for start in range(len(tags))
        for end in range(start + 1, len(tags) + 1)
        if tags[start] == f"B-{kind}"
        and all(tag == f"I-{kind}" for tag in tags[start + 1 : end])
        and (end == len(tags) or tags[end] != f"I-{kind}")
    }


@pytest.mark.parametrize(
    ("scheme", "written"),
    [
        ("IOB1", "I-a I-a B-a O I-b I-a"),
        ("IOB2", "B-a I-a B-a O B-b B-a"),
        ("IOBES", "B-a E-a S-a O S-b S-a"),
        ("BILOU", "B-a L-a U-a O U-b U-a"),
    ],
)
def test_each_scheme_writes_the_same_entities(scheme: Scheme, written: str) -> None:
    normal = ["B-a", "I-a", "B-a", "O", "B-b", "B-a"]
    assert to_iob2(written.split(), scheme) == normal
    assert from_iob2(normal, scheme) == written.split()
    assert detect_scheme([written.split()]) == scheme
    assert entities(normal) == [("a", 0, 2), ("a", 2, 3), ("b", 4, 5), ("a", 5, 6)]


@settings(deadline=None)
@given(VALID, st.sampled_from(SCHEMES))
def test_iob2_to_another_scheme_and_back_is_the_same(tags: list[str], scheme: Scheme) -> None:
    assert to_iob2(from_iob2(tags, scheme), scheme) == tags


@settings(deadline=None)
@given(ANY)
def test_entities_are_what_their_definition_says(tags: list[str]) -> None:
    assert set(entities(tags)) == by_definition(tags)
    assert len(entities(tags)) == len(by_definition(tags))


@settings(deadline=None)
@given(st.lists(VALID, min_size=1, max_size=4), st.sampled_from(SCHEMES))
def test_the_detected_scheme_reads_what_was_written(sentences: list[list[str]], scheme: Scheme) -> None:
    written = [from_iob2(tags, scheme) for tags in sentences]
    detected = detect_scheme(written)
    if scheme in ("IOBES", "BILOU"):
        # Only B- and I- with no last tag would be ambiguous, and each entity has one.
        assert detected == scheme or not any(entities(tags) for tags in sentences)
    if detected == scheme:
        assert [to_iob2(tags, detected) for tags in written] == sentences


def test_a_few_wrong_tags_do_not_change_the_scheme() -> None:
    right = [["B-a", "I-a", "O"]] * 9
    assert detect_scheme([*right, ["O", "I-a"]]) == "IOB2"
    assert detect_scheme([*right, ["B-a", "E-a"]]) == "IOB2"
    assert detect_scheme([*[["O", "I-a", "I-a"]] * 9, ["O", "B-a"]]) == "IOB1"
    assert detect_scheme([["O", "O"]]) == "IOB2"


@pytest.mark.parametrize(
    ("scheme", "tags", "kind", "word"),
    [
        ("IOB2", "O I-a", "stray_inside", 1),
        ("IOB2", "B-a I-b", "stray_inside", 1),
        ("IOBES", "O E-a", "stray_inside", 1),
        ("IOBES", "B-a I-a", "unfinished_entity", 1),
        ("IOBES", "B-a O", "unfinished_entity", 0),
        ("BILOU", "B-a U-a", "unfinished_entity", 0),
        ("IOB2", "O X-a", "unknown_prefix", 1),
        ("IOB2", "S-a", "unknown_prefix", 0),
        ("IOB1", "a", "unknown_prefix", 0),
        ("IOB2", "B-", "unknown_prefix", 0),
    ],
)
def test_what_breaks_a_scheme_is_told_with_its_place(scheme: Scheme, tags: str, kind: str, word: int) -> None:
    with pytest.raises(TagError) as told:
        to_iob2(tags.split(), scheme)
    assert (told.value.kind, told.value.word) == (kind, word)


def test_names_of_types_may_hold_dashes_and_are_numbered_by_the_alphabet() -> None:
    assert split_tag("I-creative-work") == ("I", "creative-work")
    names = tag_names(["person", "creative-work", "person"])
    assert names == ["O", "B-creative-work", "I-creative-work", "B-person", "I-person"]
    assert type_names(names) == ["creative-work", "person"]
