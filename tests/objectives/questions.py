"""Questions that a tiny encoder learns to answer."""

import json
import random
from pathlib import Path
from typing import Any

from tests.tiny import BAD, FILLER, GOOD


def write_squad(path: Path, count: int) -> Path:
    """Paragraphs as SQuAD has them, one in five longer than a window, each with two questions: the answer to both is
    the word that praises the film, and where none does there is no answer."""
    draw = random.Random(0)
    paragraphs = []
    for place in range(count):
        parts = [draw.choice(FILLER) for _ in range(draw.randint(20, 30) if place % 5 == 0 else draw.randint(3, 7))]
        parts.insert(draw.randrange(len(parts)), draw.choice(BAD))
        answers: list[dict[str, Any]] = []
        if place % 3:
            where = draw.randrange(len(parts))
            parts.insert(where, draw.choice(GOOD))
            answers = [{"text": parts[where], "answer_start": len(" ".join([*parts[:where], ""]))}]
        fields = {"answers": answers} | ({} if answers else {"is_impossible": True})
        asked = [{"id": f"{place} {text}", "question": text, **fields} for text in ("a film", "the plot")]
        paragraphs.append({"context": " ".join(parts), "qas": asked})
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "films", "paragraphs": paragraphs}]}))
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The same questions as a table."""
    data = json.loads(path.read_text())["data"]
    return [
        {"context": paragraph["context"], "question": one["question"], "answers": one["answers"]}
        for article in data
        for paragraph in article["paragraphs"]
        for one in paragraph["qas"]
    ]
