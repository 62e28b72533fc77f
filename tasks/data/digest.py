"""What the rows are, by digest: equal for equal rows, in whatever file, format or order they lay."""

import hashlib
import json

import pyarrow as pa

from hone.tasks.data.rows import SPLITS
from hone.tasks.text_key import SEPARATOR

BATCH_ROWS = 16_384
TEXT = ["text", "pair", "label", "slices"]
SEVERAL = ["text", "pair", "labels", "slices"]
NUMBER = ["text", "pair", "number", "slices"]
SENTENCE = ["tokens", "tags", "slices"]
QUESTION = ["text", "pair", "starts", "ends", "slices"]
CONVERSATION = ["messages", "slices"]


def in_canonical_order(table: pa.Table, labels: list[str]) -> pa.Table:
    """The rows with the sha256 of each as column `hash`, in the order of these hashes.

    The order of the source's rows thereby decides nothing: not the digest, not which rows are drawn or split off, not
    the order of batches. And as a hash says nothing about the text, the first rows are a fair sample.

    Args:
        labels: names of the labels, or of the tags, by id; a row's hash covers its text, its pair, its label's name and
            its slices' values; instead of the label the names of several, or a number; of a sentence, each of its words
            and the names of their tags; of a question, its context and where its answers stand there; of a
            conversation, its messages and which of them are learned.
    """
    hashes: list[pa.Array] = []
    tagged, several, numbers, asked = (name in table.column_names for name in ("tags", "labels", "number", "starts"))
    columns_read = SENTENCE if tagged else SEVERAL if several else NUMBER if numbers else QUESTION if asked else TEXT
    columns_read = CONVERSATION if "messages" in table.column_names else columns_read
    for batch in table.select(columns_read).to_batches(max_chunksize=BATCH_ROWS):
        columns = (column.to_pylist() for column in batch.columns)
        if tagged:
            rows = [
                [*words, *(labels[tag] for tag in tags), *parts] for words, tags, parts in zip(*columns, strict=True)
            ]
        elif several:
            rows = [
                [text, pair or "", str(len(own)), *sorted(labels[label] for label in own), *parts]
                for text, pair, own, parts in zip(*columns, strict=True)
            ]
        elif numbers:
            rows = [
                [text, pair or "", repr(number), *parts] for text, pair, number, parts in zip(*columns, strict=True)
            ]
        elif columns_read is CONVERSATION:
            rows = [
                [json.dumps([list(one.values()) for one in messages], ensure_ascii=False), *parts]
                for messages, parts in zip(*columns, strict=True)
            ]
        elif asked:
            rows = [
                [text, pair, *map(str, (*starts, "-", *ends)), *parts]
                for text, pair, starts, ends, parts in zip(*columns, strict=True)
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
