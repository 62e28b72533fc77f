"""Documents packed into blocks of one length, with a boundary token between them: no token of a batch is padding.

All documents are one stream, each with the boundary token before it, and one at its end. A block is a part of it; its
targets are the same part one token later, so that each token, boundaries included, is predicted once. A block may begin
inside a document, and a token may look at the document before its own: what the boundary means is learned.

Source: Raffel et al. 2020 (T5), arXiv:1910.10683, section 3.1.3 (packing); Brown et al. 2020, arXiv:2005.14165, section
2.3 (documents in one sequence without a mask between them).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hone.tasks.model.text import TokenizedText


def pack(documents: Sequence[npt.ArrayLike], max_length: int, boundary: int) -> TokenizedText:
    """Blocks of `max_length` tokens with the token after each as its label; the last block may be shorter. Of each
    block the document that it begins in is its source.

    Args:
        documents: token ids of each, without special tokens.
        boundary: id of the token between documents.
    """
    found = [np.asarray(document, np.int32) for document in documents]
    lengths = np.array([len(document) + 1 for document in found], np.int64)
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    stream = np.full(total + 1, boundary, np.int32)
    for end, document in zip(ends.tolist(), found, strict=True):
        stream[end - len(document) : end] = document
    starts = np.arange(0, total, max_length, dtype=np.int64)
    offsets: npt.NDArray[np.int64] = np.concatenate([starts, [total]]).astype(np.int64)
    return TokenizedText(
        ids=stream[:-1],
        offsets=offsets,
        type_ids=None,
        labels=stream[1:].astype(np.int64),
        by_token=True,
        weights=np.diff(offsets),
        sources=np.searchsorted(ends, starts, side="right").astype(np.int64),
    )
