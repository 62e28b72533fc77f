"""What the rows are, by digest: equal for equal rows, in whatever file, format or order they lay."""

import hashlib

import pyarrow as pa

from hone.tasks.data.rows import SPLITS
from hone.tasks.text_key import SEPARATOR

BATCH_ROWS = 16_384


def in_canonical_order(table: pa.Table, labels: list[str]) -> pa.Table:
    """The rows with the sha256 of each as column `hash`, in the order of these hashes.

    The order of the source's rows thereby decides nothing: not the digest, not which rows are drawn or split off, not
    the order of batches. And as a hash says nothing about the text, the first rows are a fair sample.

    Args:
        labels: label names by id; a row's hash covers its text, its pair, its label's name and its slices' values.
    """
    hashes: list[pa.Array] = []
    for batch in table.select(["text", "pair", "label", "slices"]).to_batches(max_chunksize=BATCH_ROWS):
        texts, pairs, ids, slices = (column.to_pylist() for column in batch.columns)
        digests = [
            hashlib.sha256(SEPARATOR.join([text, pair or "", labels[label], *parts]).encode()).digest()
            for text, pair, label, parts in zip(texts, pairs, ids, slices, strict=True)
        ]
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
