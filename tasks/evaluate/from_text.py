"""What a caller waits for: from the text on. A model's own time begins where the tokenizer has ended, and a
baseline like TF-IDF has no such point, so that the two can only be compared from the text on."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from tokenizers import Tokenizer

from hone.configs.delivery import EvaluateSettings, decodes, parse_cell
from hone.tasks.evaluate.latency import Timing
from hone.tasks.evaluate.timing_loop import time_calls
from hone.tasks.model.text import Rows
from hone.tasks.objectives.judging import Baseline

SAMPLES, SECONDS = 100, 0.2
"""Of each cell and tokenizer."""


class Texts:
    """Texts for every cell, as many as its batch, of as many words as it has tokens, or of one for the next token.

    Args:
        words: to draw from.
    """

    def __init__(self, words: list[str], settings: EvaluateSettings, seed: int) -> None:
        draw = np.random.default_rng(seed)
        shapes = [(parse_cell(cell)[0], 1 if decodes(cell) else parse_cell(cell)[1]) for cell in settings.cells]
        self._lengths = [length for _batch, length in shapes]
        self.cells = [[" ".join(draw.choice(words, length)) for _ in range(batch)] for batch, length in shapes]
        """[cells][batch]."""
        self._known: dict[str, list[float]] = {}

    def tokenizing_ms(self, folder: Path) -> list[float]:
        """Median milliseconds by cell that the tokenizer in a model's folder takes, cutting each text to the cell's
        length. Models with the same tokenizer have the same figures."""
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()  # an exported one carries the length that it is served with
        tokenizer.no_padding()
        content = tokenizer.to_str()
        if content not in self._known:
            found = []
            for texts, length in zip(self.cells, self._lengths, strict=True):
                tokenizer.enable_truncation(max_length=length)
                found.append(median(time_calls(partial(tokenizer.encode_batch, texts), SAMPLES, SECONDS)))
            self._known[content] = found
        return self._known[content]


def time_baseline(fitted: Baseline, cells: Sequence[list[str]], settings: EvaluateSettings) -> Timing:
    """Times a baseline in this process, on one core, from the text on: what counts words is most of it.

    Args:
        cells: texts of each cell.
    """
    rows = [Rows(texts, None, np.zeros(len(texts), np.int64)) for texts in cells]
    milliseconds = [
        time_calls(partial(fitted.answers, texts), settings.samples, settings.cell_seconds) for texts in rows
    ]
    return Timing(providers=["cpu"], load_seconds=0.0, peak_memory_bytes=0, milliseconds=milliseconds)
