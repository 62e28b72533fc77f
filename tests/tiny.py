"""A tiny encoder and a tiny labelled corpus, made from nothing but a seed: what the tests run the real chain on."""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedTokenizerFast

GOOD = ["brilliant", "charming", "funny", "moving", "superb", "tender"]
BAD = ["awful", "boring", "clumsy", "dull", "stale", "tedious"]
FILLER = ["the", "film", "is", "a", "story", "of", "its", "cast", "and", "plot", "with", "scenes", "in", "music"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_encoder(folder: Path, layers: int = 3, hidden: int = 32, heads: int = 4, neurons: int = 64) -> Path:
    """A BERT configuration with a WordPiece tokenizer that knows the corpus, some other words, and letters."""
    words = [*FILLER, *GOOD, *BAD, "never", "said", "##s", "##ing"]
    pieces = [*SPECIAL, *words, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    BertConfig(
        vocab_size=len(pieces),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=neurons,
        max_position_embeddings=64,
        pad_token_id=0,
    ).save_pretrained(folder)
    return folder


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Distinct sentences whose one telling word is their label, so that even a tiny encoder learns them."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        label, words = draw.choice([("good", GOOD), ("bad", BAD)])
        filler = draw.choices(FILLER, k=draw.randint(3, 14))
        filler.insert(draw.randrange(len(filler)), draw.choice(words))
        found[" ".join(filler)] = label
    return list(found.items())


def write_corpus(path: Path, count: int, seed: int, noise: float = 0.0) -> Path:
    """The sentences as JSONL; a share of `noise` carries the other label."""
    draw = random.Random(seed + 1)
    flip = {"good": "bad", "bad": "good"}
    with path.open("w", encoding="utf-8") as stream:
        for text, label in sentences(count, seed):
            shown = flip[label] if draw.random() < noise else label
            stream.write(json.dumps({"text": text, "label": shown}) + "\n")
    return path


def write_recipe(folder: Path) -> Path:
    """A recipe for the whole chain on the tiny encoder; it takes three minutes alone on two cores, most of them for the
    start of the engines and torch's exporter.

    A process that times PyTorch imports it for as long as a stage trains: so there are two rounds, the fewest that an
    interval comes of. It is a wide one, and hardly any speed-up is asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = write_encoder(folder / "encoder", layers=2)  # each takes torch's exporter a second a model
    corpus = write_corpus(folder / "corpus.jsonl", 600, seed=1)
    path = folder / "recipe.yaml"
    path.write_text(
        f"""
name: tiny
seed: 3
data: {{train: {corpus}}}
model: {{source: {encoder}, weights: random, max_length: 32}}
train: {{epochs: 6, learning_rate: 5.0e-3}}
distill: {{epochs: 2, learning_rate: 2.0e-3, layers: [0], augment: 1}}
prune: {{epochs: 2, learning_rate: 2.0e-3, vocabulary: seen, neuron_multiple: 8}}
quantize: {{epochs: 1, learning_rate: 1.0e-3, calibration_rows: 64}}
evaluate: {{cells: [1x8, 4x16], threads: 1, rounds: 2, samples: 10, cell_seconds: 0.5, golden_requests: 8,
  robustness: [case], quiet_seconds: 0, torch_compile_seconds: 0}}
gate: {{margin: 0.2, slice_margin: 0.4, min_slice_rows: 20, resamples: 1000, min_speedup: 1.0e-6,
  max_size_fraction: 1.0, beat_baseline: false, max_background_load: 1}}
register: {{promote: auto}}
compute: {{storage: {folder / "storage"}}}
""",
        encoding="utf-8",
    )
    return path
