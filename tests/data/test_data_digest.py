"""Digests: of the rows, and of nothing else."""

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from hone.tasks.data.clean import SCHEMA
from hone.tasks.data.digest import content_digest, in_canonical_order


def table(rows: list[tuple[str, str | None, int]], slices: Sequence[str] = ()) -> pa.Table:
    texts, pairs, labels = (list(column) for column in zip(*rows, strict=True))
    return pa.table([texts, pairs, labels, list(range(len(rows))), [list(slices)] * len(rows)], schema=SCHEMA)


def digest(rows: list[tuple[str, str | None, int]], labels: list[str], slices: Sequence[str] = ()) -> str:
    ordered = in_canonical_order(table(rows, slices), labels)
    return content_digest({"train": ordered, "validation": ordered.slice(0, 0), "test": ordered.slice(0, 0)})


ROWS = [("one", None, 0), ("two", None, 1), ("three", None, 0)]


def test_the_order_of_the_rows_is_no_part_of_the_digest() -> None:
    assert digest(ROWS, ["a", "b"]) == digest(ROWS[::-1], ["a", "b"])


def test_every_value_is_part_of_the_digest() -> None:
    others = [
        digest([("One", None, 0), *ROWS[1:]], ["a", "b"]),
        digest([("one", None, 1), *ROWS[1:]], ["a", "b"]),
        digest([("one", "pair", 0), *ROWS[1:]], ["a", "b"]),
        digest(ROWS, ["a", "c"]),
        digest(ROWS[:2], ["a", "b"]),
        digest([*ROWS, ROWS[0]], ["a", "b"]),
        digest(ROWS, ["a", "b"], slices=["north"]),
        digest(ROWS, ["a", "b"], slices=["south"]),
    ]
    assert len({digest(ROWS, ["a", "b"]), *others}) == 9


def test_label_ids_do_not_matter_where_names_agree() -> None:
    assert digest(ROWS, ["a", "b"]) == digest([(text, pair, 1 - label) for text, pair, label in ROWS], ["b", "a"])


def test_the_split_is_part_of_the_digest() -> None:
    ordered = in_canonical_order(table(ROWS), ["a", "b"])
    empty = ordered.slice(0, 0)
    train = content_digest({"train": ordered, "validation": empty, "test": empty})
    assert train != content_digest({"train": empty, "validation": ordered, "test": empty})


def test_a_row_hash_is_the_sha256_of_its_parts() -> None:
    ordered = in_canonical_order(table([("text", "pair", 1)]), ["a", "b"])
    assert ordered["hash"].to_pylist() == [hashlib.sha256(b"text\x1fpair\x1fb").digest()]


def test_rows_lie_in_the_order_of_their_hashes() -> None:
    ordered = in_canonical_order(table([(f"text {place}", None, place % 2) for place in range(500)]), ["a", "b"])
    assert ordered["hash"].to_pylist() == sorted(ordered["hash"].to_pylist())
    assert ordered["line"].to_pylist() != list(range(500))
