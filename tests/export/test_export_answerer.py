"""A model answers questions in PyTorch as in ONNX, whatever its batches, and leaves in the field's form."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hone.tasks.drift.embed import write_embedder
from hone.tasks.evaluate.parity import ModelVariant, compare
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.runtime.predict import Backend, answer, embed, read
from hone.tasks.model.training.fake_quantization import read_plan
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.question_answering.answering import END, NULL, SCORE, START, THRESHOLD
from tests.export.answerers import LABELS, MAX_LENGTH, export_answerer, write_answerer, write_questions
from tests.export.checkpoints import with_another_head

JUDGING = judging("question-answering")
ROWS = write_questions(24)


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("answerer")
    return write_answerer(folder / "fp32"), export_answerer(folder / "fp32", folder / "exported")


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("rounded")
    return write_answerer(folder / "int8", quantized=True), export_answerer(folder / "int8", folder / "exported")


def answers(folder: Path, form: Backend, batch_size: int = 8) -> np.ndarray:
    reading = read(folder, ROWS, MAX_LENGTH)
    found = answer(folder, form, reading, batch_size=batch_size, providers=["cpu"], threads=1)
    assert isinstance(found, np.ndarray)
    return found


def side(name: str, folder: Path, form: Backend) -> ModelVariant:
    return ModelVariant(name, folder, read(folder, ROWS, MAX_LENGTH), form, ["cpu"], batch_size=8, threads=1)


def test_a_short_question_is_answered_by_the_best_span_of_transformers_logits(answerer: tuple[Path, Path]) -> None:
    model, tokenizer = load_model(answerer[0]), load_tokenizer(answerer[0])
    found = answers(answerer[0], "pytorch")
    row = next(place for place, context in enumerate(ROWS.pairs) if len(context.split()) < 10)
    encoded = tokenizer(ROWS.texts[row], ROWS.pairs[row], return_tensors="pt", return_offsets_mapping=True)
    places = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        output = model(**encoded)
    start, end = output.start_logits[0].tolist(), output.end_logits[0].tolist()
    inside = [place for place, which in enumerate(encoded.sequence_ids()) if which == 1]
    score, first, last = max((start[a] + end[b], -a, -b) for a in inside for b in inside if a <= b)
    assert found[row, [SCORE, NULL]] == pytest.approx([score, start[0] + end[0]], abs=1e-5)
    assert found[row, [START, END]].tolist() == [places[-first][0], places[-last][1]]
    assert set(found[:, THRESHOLD]) == {0.5}


@pytest.mark.parametrize("batch_size", [1, 64])
def test_onnx_answers_every_question_as_pytorch_does(answerer: tuple[Path, Path], batch_size: int) -> None:
    before, after = answers(answerer[0], "pytorch"), answers(answerer[1], "onnxruntime", batch_size)
    assert len(read(answerer[1], ROWS, MAX_LENGTH).text) > len(ROWS)
    assert np.abs(before - after).max() < 1e-5  # measured: 2e-6


def test_integers_answer_questions_as_their_rounded_model_does(rounded: tuple[Path, Path]) -> None:
    checkpoint, exported = rounded
    assert read_plan(checkpoint).first_token == ()
    targets = JUDGING.targets(ROWS)
    found = JUDGING.compare(answers(checkpoint, "fake-quantised"), answers(exported, "onnxruntime"), targets)
    assert found.rms_share < 0.02
    dense = JUDGING.compare(answers(checkpoint, "pytorch"), answers(exported, "onnxruntime"), targets)
    assert dense.rms_share > found.rms_share


def test_a_hand_over_is_exact_and_a_broken_graph_is_located(answerer: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, exported = answerer
    sides = side("pytorch", checkpoint, "pytorch"), side("onnx (cpu)", exported, "onnxruntime")
    handed = compare("answerer", *sides, "exact", JUDGING.targets(ROWS), LABELS, JUDGING)
    assert (handed.mismatch, handed.first_divergence, handed.agreement) == ("", "", 1.0)
    broken = with_another_head(exported, tmp_path / "broken", "qa_outputs")
    sides = side("pytorch", checkpoint, "pytorch"), side("onnx (cpu)", broken, "onnxruntime")
    assert compare("answerer", *sides, "exact", JUDGING.targets(ROWS), LABELS, JUDGING).first_divergence == "qa_outputs"


def test_the_folder_is_what_optimums_question_answerer_reads(answerer: tuple[Path, Path]) -> None:
    config = json.loads((answerer[1] / "config.json").read_text())
    assert config["architectures"] == ["BertForQuestionAnswering"]
    assert config["no_answer_threshold"] == 0.5
    graph = onnx.load(answerer[1] / "model.onnx").graph
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    names = ("input_ids", "attention_mask", "token_type_ids", "start_logits", "end_logits")
    assert axes == {name: ["batch", "length"] for name in names}


def test_what_answers_are_computed_from_is_a_mean_over_all_windows_of_a_question(
    answerer: tuple[Path, Path], tmp_path: Path
) -> None:
    embedder = write_embedder(answerer[1], tmp_path / "embedder")
    found = embed(embedder, ROWS, max_length=MAX_LENGTH, batch_size=8, providers=["cpu"], threads=1)
    model, reading = load_model(answerer[0]), read(answerer[1], ROWS, MAX_LENGTH)
    row = int(np.bincount(reading.text.sources).argmax())
    windows = [reading.rows(np.array([place]))[0] for place in reading.places_of(np.array([row]))]
    with torch.no_grad():
        vectors = [
            model.bert(torch.tensor([one.ids.tolist()]), token_type_ids=torch.tensor([one.type_ids.tolist()]))[0][0]
            for one in windows
        ]
    assert len(windows) > 1
    assert np.allclose(found[row], torch.cat(vectors).mean(dim=0).numpy(), atol=1e-5)
