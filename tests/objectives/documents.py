"""Tiny documents, and a decoder of random weights with a byte-level BPE tokenizer that was trained on them."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hone.configs.recipe import Recipe, parse_recipe

LENGTH = 32
END = "<|endoftext|>"
CHAT = ("<|turn|>", "<|done|>")
"""Tokens around the messages of a chat."""
ANIMALS = ("cat", "dog", "hen", "owl")
PLACES = ("barn", "house", "tree", "wood")


def documents(count: int, seed: int = 0) -> list[str]:
    """Distinct documents of several lines, whose sentences follow a pattern that a small model learns."""
    draw = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        lines = [
            f"the {draw.choice(ANIMALS)} in the {draw.choice(PLACES)} has {draw.randint(2, 9)} friends."
            for _line in range(draw.randint(2, 6))
        ]
        found.setdefault("\n".join(lines))
    return list(found)


def write_documents(path: Path, count: int, seed: int = 0) -> Path:
    """As JSONL, with the number of lines as a topic."""
    rows = [{"text": text, "topic": "long" if text.count("\n") > 2 else "short"} for text in documents(count, seed)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_tokenizer(folder: Path, padding: bool = False, template: str = "") -> PreTrainedTokenizerFast:
    """A byte-level BPE whose end-of-sequence token parts documents, with no padding token unless one is asked for.

    Args:
        template: for chats; `CHAT` are then tokens too.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [END, *(["<pad>"] if padding else []), *(CHAT if template else [])]
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(200), trainer)
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, **({"pad_token": "<pad>"} if padding else {})
    )
    whole.chat_template = template or None
    whole.save_pretrained(folder)
    return whole


def write_decoder(folder: Path, layers: int = 2, tied: bool = True, template: str = "") -> Path:
    """A Llama with grouped heads and weights drawn from a seed, beside its tokenizer."""
    tokenizer = write_tokenizer(folder, template=template)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,  # the least that onnxruntime's kernel of grouped heads takes
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def recipe_of(folder: Path, rows: int = 200, **settings: Any) -> Recipe:
    """A recipe whose documents, decoder and student are written into the folder."""
    write_documents(folder / "all.jsonl", rows)
    write_decoder(folder / "decoder")
    write_decoder(folder / "small", layers=1)
    tree: dict[str, Any] = {
        "task": "text-generation",
        "data": {"train": str(folder / "all.jsonl"), "document_column": "text", "slice_columns": ["topic"]},
        "model": {"source": str(folder / "decoder"), "max_length": LENGTH},
        "train": {"epochs": 4, "learning_rate": 1e-2, "batch_size": 16},
        "distill": {"student": str(folder / "small"), "epochs": 3, "hidden_weight": 0, "freeze_embeddings": False,
                    "learning_rate": 1e-2, "batch_size": 16},
        "prune": {"method": "magnitude", "sparsity": 0.2, "epochs": 1, "learning_rate": 1e-3},
        "quantize": {"epochs": 1, "max_sensitive_layers": 1, "learning_rate": 1e-3},
        "evaluate": {"cells": ["1x16", "1x16+1"], "threads": 1, "rounds": 2, "samples": 6, "cell_seconds": 0.2,
                     "golden_requests": 4, "quiet_seconds": 0, "torch_compile_seconds": 0},
        "gate": {"margin": 0.5, "slice_margin": 0.9, "min_slice_rows": 5, "resamples": 500, "min_speedup": 1e-6,
                 "max_size_fraction": 1.0, "beat_baseline": False, "max_background_load": 1},
        "compute": {"storage": str(folder / "storage")},
    }  # fmt: skip
    return parse_recipe(tree | settings)
