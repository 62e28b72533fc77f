"""What the rows are, by digest: equal for equal rows, in whatever file, format or order they lay."""

import hashlib

import pyarrow as pa

from hone.tasks.data.rows import SPLITS
from hone.tasks.text_key import SEPARATOR

BATCH_ROWS = 16_384
TEXT = ["text", "pair", "label", "slices"]
SENTENCE = ["tokens", "tags", "slices"]


def in_canonical_order(table: pa.Table, labels: list[str]) -> pa.Table:
    """The rows with the sha256 of each as column `hash`, in the order of these hashes.

    The order of the source's rows thereby decides nothing: not the digest, not which rows are drawn or split off, not
    the order of batches. And as a hash says nothing about the text, the first rows are a fair sample.

    Args:
        labels: names of the labels, or of the tags, by id; a row's hash covers its text, its pair, its label's name and
            its slices' values; of a sentence, each of its words and the names of their tags instead.
    """
    hashes: list[pa.Array] = []
    tagged = "tags" in table.column_names
    for batch in table.select(SENTENCE if tagged else TEXT).to_batches(max_chunksize=BATCH_ROWS):
        columns = (column.to_pylist() for column in batch.columns)
        if tagged:
            rows = [
                [*words, *(labels[tag] for tag in tags), *parts] for words, tags, parts in zip(*columns, strict=True)
            ]
        else:
            rows = [
                [text, pair or "", labels[label], *parts] for text, pair, label, parts in zip(*columns, strict=True)
            ]
        digests = [hashlib.sha256(SEPARATOR.join(row).encode()).digest() for row in rows]
        hashes.append(pa.array(digests, pa.binary(32)))
    return table.append_column("hash", pa.chunked_array(hashes, pa.binary(32))).sort_by("hash")


def content_digest(splits: dict[str, pa.Table]) -> str:
    """sha256 over the row hashes of each split, as `sha256:<hex>`.

    Args:
        splits: tables in canonical order.
    """
    total = hashlib.sha256()
    for split in SPLITS:
        hashes = splits[split]["hash"]
        total.update(f"{split}:{len(hashes)}:".encode())
        for chunk in hashes.chunks:
            total.update(b"".join(chunk.to_pylist()))
    return f"sha256:{total.hexdigest()}"
