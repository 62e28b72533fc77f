"""Tiny corpora of texts with several labels, and with a number, and recipes for them."""

import json
import random
from pathlib import Path
from typing import Any

from hone.configs.recipe import Recipe, parse_recipe
from tests.tiny import BAD, FILLER, GOOD, write_encoder

LENGTH = 16
LABELS = ["bad", "good", "music"]


def write_texts(path: Path, rows: int, kind: str) -> Path:
    """A text has a label for each kind of telling word in it, and none where there is none; its number is the good
    words less the bad ones, and half of one for music, and belongs to the two halves of the text as a pair."""
    draw = random.Random(0)
    with path.open("w") as stream:
        for _row in range(rows):
            words = draw.choices(FILLER[:4], k=draw.randint(2, 4))
            most = draw.choice([(2, 0, 0), (0, 2, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (0, 0, 0)])
            good, bad, music = (draw.randint(min(1, count), count) for count in most)
            words += [*draw.sample(GOOD[:2], good), *draw.sample(BAD[:2], bad), *["music"] * music]
            draw.shuffle(words)
            labels = [name for name, there in zip(LABELS, (bad, good, music), strict=True) if there]
            row: dict[str, Any] = {"text": " ".join(words), "label": labels}
            if kind == "number":
                half = len(words) // 2
                row = {"text": " ".join(words[:half]), "pair": " ".join(words[half:]), "label": good - bad + music / 2}
            stream.write(json.dumps(row) + "\n")
    return path


def recipe_of(folder: Path, kind: str, **settings: Any) -> Recipe:
    """A recipe whose data and encoder are written into the folder."""
    write_texts(folder / "all.jsonl", 300, kind)
    write_encoder(folder / "encoder", layers=2)
    tree: dict[str, Any] = {
        "data": {"train": str(folder / "all.jsonl"), "labels": kind,
                 "pair_column": "pair" if kind == "number" else ""},
        "model": {"source": str(folder / "encoder"), "weights": "random", "max_length": LENGTH},
        "train": {"epochs": 10, "learning_rate": 3e-3, "batch_size": 16},
        "distill": {"augment": 1, "epochs": 4, "layer_count": 1, "learning_rate": 3e-3, "batch_size": 16},
        "prune": {"head_fraction": 0.5, "neuron_fraction": 0.5, "vocabulary": "seen", "epochs": 3,
                  "learning_rate": 3e-3},
        "quantize": {"epochs": 1, "max_sensitive_layers": 1},
        "evaluate": {"cells": ["1x16"], "threads": 1, "rounds": 2, "samples": 6, "cell_seconds": 0.2,
                     "golden_requests": 8, "quiet_seconds": 0, "torch_compile_seconds": 0},
        "gate": {"margin": 0.5, "slice_margin": 0.9, "min_slice_rows": 5, "resamples": 500, "min_speedup": 1e-6,
                 "max_size_fraction": 1.0, "beat_baseline": False, "max_background_load": 1},
        "compute": {"storage": str(folder / "storage")},
    }  # fmt: skip
    return parse_recipe(tree | settings)
