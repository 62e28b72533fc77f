"""Tags of words: the schemes that mark entities, understood and brought to one normal form, IOB2.

In IOB2 a `B-` begins every entity and an `I-` of the same type continues it; `O` is outside.

Source: Ramshaw & Marcus, Text Chunking using Transformation-Based Learning, 1995 (IOB1); Ratinov & Roth, Design
Challenges and Misconceptions in Named Entity Recognition, 2009 (BILOU).
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

OUTSIDE = "O"
Scheme = Literal["IOB1", "IOB2", "IOBES", "BILOU"]
PREFIXES: dict[Scheme, str] = {"IOB1": "BI", "IOB2": "BI", "IOBES": "BIES", "BILOU": "BILU"}
NORMAL = str.maketrans("LU", "ES")
"""BILOU's names for the last word and the only one, as IOBES has them."""


class Entity(NamedTuple):
    """Words `start` to `end` (exclusive) of a sentence."""

    type: str
    start: int
    end: int


class TagError(ValueError):
    """Tags that their scheme does not allow."""

    def __init__(self, kind: str, word: int, tag: str) -> None:
        """`kind` as tasks/data/rows.py calls it; `word` is the place of the first tag that is wrong."""
        super().__init__(f"{kind}: {tag!r} at word {word}")
        self.kind = kind
        self.word = word


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag: `("B", "person")`. `("O", "")` of O, and an empty prefix where there is none that is
    known."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    return (prefix, kind) if dash and kind and prefix in set("BIESLU") else ("", tag)


def tag_names(types: Iterable[str]) -> list[str]:
    """Tags of IOB2 by id: O first, then `B-` and `I-` of each type, in their alphabetical order."""
    return [OUTSIDE, *(f"{prefix}-{kind}" for kind in sorted(set(types)) for prefix in "BI")]


def type_names(tags: Iterable[str]) -> list[str]:
    """Types of the entities that these tags of IOB2 mark, in alphabetical order."""
    return sorted({split_tag(tag)[1] for tag in tags} - {""})


def detect_scheme(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that most of the tags keep to.

    Prefixes of their own tell IOBES and BILOU. IOB1 and IOB2 differ in the tag of an entity that follows no other of
    its type: `I-` in the one, `B-` in the other. Where nothing tells, IOB2.
    """
    begun = {"B": 0, "I": 0}
    ends = {"IOBES": 0, "BILOU": 0}
    for tags in sentences:
        before = ("O", "")
        for prefix, kind in map(split_tag, tags):
            if prefix in ("B", "I") and kind != before[1]:
                begun[prefix] += 1
            elif prefix and prefix in "ES":
                ends["IOBES"] += 1
            elif prefix and prefix in "LU":
                ends["BILOU"] += 1
            before = (prefix, kind)
    ending: Scheme = "IOBES" if ends["IOBES"] >= ends["BILOU"] else "BILOU"
    if ends[ending] and 2 * ends[ending] >= begun["B"]:  # each `B-` has its end there; a few ends are slips
        return ending
    return "IOB1" if begun["I"] > begun["B"] else "IOB2"


def to_iob2(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The same entities in IOB2. IOB1 says no more than its entities, so a `B-` where it needs none is understood.

    Raises:
        TagError: `unknown_prefix`; `stray_inside`, for a tag that continues an entity where none of its type is open;
            `unfinished_entity`, where a scheme that marks ends lacks one.
    """
    normal = []
    before, kind_before = OUTSIDE, ""
    for word, tag in enumerate(tags):
        prefix, kind = split_tag(tag)
        if not prefix or prefix not in PREFIXES[scheme] + OUTSIDE:
            raise TagError("unknown_prefix", word, tag)
        prefix = prefix.translate(NORMAL)
        open_ = before in ("B", "I") and kind == kind_before
        if scheme == "IOB1" and prefix == "I" and kind != kind_before:
            prefix = "B"
        elif prefix in ("I", "E") and not open_:
            raise TagError("stray_inside", word, tag)
        if scheme in ("IOBES", "BILOU") and before in ("B", "I") and not (open_ and prefix in ("I", "E")):
            raise TagError("unfinished_entity", word - 1, tags[word - 1])
        normal.append(tag if prefix == OUTSIDE else f"{'B' if prefix in ('B', 'S') else 'I'}-{kind}")
        before, kind_before = prefix, kind
    if scheme in ("IOBES", "BILOU") and before in ("B", "I"):
        raise TagError("unfinished_entity", len(tags) - 1, tags[-1])
    return normal


def from_iob2(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The entities of these tags of IOB2 in another scheme."""
    written = [OUTSIDE] * len(tags)
    last, single = ("L", "U") if scheme == "BILOU" else ("E", "S")
    before = Entity("", 0, -1)
    for entity in entities(tags):
        prefixes = ["B", *"I" * (entity.end - entity.start - 1)]
        if scheme in ("IOBES", "BILOU"):
            prefixes[-1] = last if len(prefixes) > 1 else single
        elif scheme == "IOB1" and (before.type, before.end) != (entity.type, entity.start):
            prefixes[0] = "I"
        for word, prefix in enumerate(prefixes, start=entity.start):
            written[word] = f"{prefix}-{entity.type}"
        before = entity
    return written


def entities(tags: Sequence[str]) -> list[Entity]:
    """Entities as seqeval's strict mode reads IOB2: an `I-` that continues none of its type belongs to none.

    Source: seqeval, `Entities(sequences, IOB2)`.
    """
    result: list[Entity] = []
    start, open_ = 0, ""
    for word, tag in enumerate([*tags, OUTSIDE]):
        prefix, kind = split_tag(tag)
        if open_ and not (prefix == "I" and kind == open_):
            result.append(Entity(open_, start, word))
            open_ = ""
        if prefix == "B":
            start, open_ = word, kind
    return result
