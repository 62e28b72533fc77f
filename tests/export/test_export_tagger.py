"""A tagger of words answers by word in PyTorch as in ONNX, whatever its batches, and leaves in the field's form."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hone.configs.recipe import parse_recipe
from hone.tasks.evaluate.parity import ModelVariant, compare
from hone.tasks.export.task import text_settings
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.runtime.predict import Backend, answer, read
from hone.tasks.model.training.fake_quantization import read_plan
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.ragged import Ragged, distances
from tests.export import optimum_environment
from tests.export.checkpoints import with_another_head
from tests.export.taggers import LABELS, MAX_LENGTH, export_tagger, write_sentences, write_tagger

JUDGING = judging("token-classification")
ROWS = write_sentences(24)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tagger")
    return write_tagger(folder / "fp32"), export_tagger(folder / "fp32", folder / "exported")


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("rounded")
    return write_tagger(folder / "int8", quantized=True), export_tagger(folder / "int8", folder / "exported")


def answers(folder: Path, form: Backend, batch_size: int = 8) -> Ragged:
    reading = read(folder, ROWS, MAX_LENGTH)
    return answer(folder, form, reading, batch_size=batch_size, providers=["cpu"], threads=1)


def side(name: str, folder: Path, form: Backend) -> ModelVariant:
    return ModelVariant(name, folder, read(folder, ROWS, MAX_LENGTH), form, ["cpu"], batch_size=8, threads=1)


def test_a_short_sentence_is_answered_as_transformers_answers_its_first_subwords(tagger: tuple[Path, Path]) -> None:
    model, tokenizer = load_model(tagger[0]), load_tokenizer(tagger[0])
    found = answers(tagger[0], "pytorch")
    short = next(
        row
        for row, words in enumerate(ROWS.tokens)
        if 2 < len(tokenizer(words, is_split_into_words=True)["input_ids"]) < MAX_LENGTH
    )
    encoded = tokenizer(ROWS.tokens[short], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**encoded).logits[0].numpy()
    ids = encoded.word_ids()
    expected = {word: logits[ids.index(word)] for word in range(len(ROWS.tokens[short])) if word in ids}
    own = list(found)[short]
    assert {word: own[word] for word in expected} == {
        word: pytest.approx(row, abs=1e-5) for word, row in expected.items()
    }


def test_a_word_of_which_the_tokenizer_makes_nothing_is_outside(tagger: tuple[Path, Path]) -> None:
    flat = [word for words in ROWS.tokens for word in words]
    silent = answers(tagger[1], "onnxruntime").values[[word == "\u200b" for word in flat]]
    assert len(silent)
    assert (silent == [0, -60, -60, -60, -60]).all()


@pytest.mark.parametrize("batch_size", [1, 64])
def test_onnx_answers_every_word_as_pytorch_does(tagger: tuple[Path, Path], batch_size: int) -> None:
    before, after = answers(tagger[0], "pytorch"), answers(tagger[1], "onnxruntime", batch_size)
    assert len(after) == len(ROWS)
    assert after.lengths.tolist() == [len(words) for words in ROWS.tokens]
    assert distances(before, after).max() < 1e-5  # measured: 1e-6


def test_integers_answer_words_as_their_rounded_model_does(rounded: tuple[Path, Path]) -> None:
    checkpoint, exported = rounded
    assert read_plan(checkpoint).first_token == ()
    targets = JUDGING.targets(ROWS)
    found = JUDGING.compare(answers(checkpoint, "fake-quantised"), answers(exported, "onnxruntime"), targets)
    assert found.rms_share < 0.02
    assert found.agreement > 0.98
    dense = JUDGING.compare(answers(checkpoint, "pytorch"), answers(exported, "onnxruntime"), targets)
    assert dense.rms_share > found.rms_share


def test_a_hand_over_is_exact_and_a_broken_graph_is_located(tagger: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, exported = tagger
    sides = side("pytorch", checkpoint, "pytorch"), side("onnx (cpu)", exported, "onnxruntime")
    handed = compare("tagger", *sides, "exact", JUDGING.targets(ROWS), LABELS, JUDGING)
    assert (handed.mismatch, handed.first_divergence, handed.agreement) == ("", "", 1.0)
    broken = with_another_head(exported, tmp_path / "broken", "classifier")
    sides = side("pytorch", checkpoint, "pytorch"), side("onnx (cpu)", broken, "onnxruntime")
    assert compare("tagger", *sides, "exact", JUDGING.targets(ROWS), LABELS, JUDGING).first_divergence == "classifier"


def test_the_folder_is_what_optimums_token_classifier_reads(tagger: tuple[Path, Path]) -> None:
    config = json.loads((tagger[1] / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert list(config["id2label"].values()) == LABELS
    assert json.loads((tagger[1] / "serving.json").read_text())["task"] == "token-classification"
    graph = onnx.load(tagger[1] / "model.onnx").graph
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    inputs = {name: ["batch", "length"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert axes == {**inputs, "logits": ["batch", "length", len(LABELS)]}
    assert not [node.name for node in graph.node if node.op_type == "Slice" and "_first_" in node.name]


def test_optimum_loads_the_folder_unchanged_and_answers_the_same(tagger: tuple[Path, Path]) -> None:
    script = (
        "import json, sys; from optimum.onnxruntime import ORTModelForTokenClassification as Model;"
        "from transformers import AutoTokenizer;"
        "model, tokenizer = Model.from_pretrained(sys.argv[1]), AutoTokenizer.from_pretrained(sys.argv[1]);"
        "logits = model(**tokenizer(sys.argv[2], return_tensors='pt')).logits;"
        "print(json.dumps([model.config.id2label, logits.tolist()]))"
    )
    command = [optimum_environment.python(), "-W", "ignore", "-c", script, tagger[1], "a dull film"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tagger[1])
    assert done.returncode == 0, done.stderr
    labels, logits = json.loads(done.stdout.splitlines()[-1])
    assert list(labels.values()) == LABELS
    with torch.no_grad():
        own = load_model(tagger[0])(**load_tokenizer(tagger[0])("a dull film", return_tensors="pt")).logits
    assert np.allclose(logits, own.numpy(), atol=1e-5)


def test_the_folder_names_the_column_of_words_that_the_model_learned_from() -> None:
    data = {"train": "a.jsonl", "tokens_column": "words"}
    recipe = parse_recipe({"task": "token-classification", "data": data, "model": {"source": "a"}})
    assert (text_settings(recipe)["task"], text_settings(recipe)["text_column"]) == ("token-classification", "words")
    texts = parse_recipe({"data": {"train": "a.csv", "text_column": "body"}, "model": {"source": "a"}})
    assert text_settings(texts)["text_column"] == "body"
