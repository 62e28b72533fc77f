"""A model that changes on its way out is seen at the hand-off where it changed, and a sound one passes every bound."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hone.configs.delivery import GateSettings
from hone.tasks import store
from hone.tasks.contracts import ConversionCheck, OnnxModel
from hone.tasks.evaluate.mismatch import naming_difference, reading_difference
from hone.tasks.evaluate.parity import ModelVariant, check_conversions, first_providers, most_different_rows, steps
from hone.tasks.model.runtime.predict import read
from hone.tasks.model.text import Rows
from hone.tasks.objectives.judging import judging
from tests.evaluate.exported_models import (
    FEED_IN,
    LABELS,
    QUERY,
    ROWS,
    chain_of,
    damaged,
    double_scale,
    ignore_mask,
    in_graph,
    in_json,
    in_tensor,
    swap_label_names,
    swap_words,
    transpose_weight,
    write_models,
)

BOUNDS = GateSettings()
JUDGING = judging("text-classification")
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def models() -> dict[str, OnnxModel]:
    return write_models()


def held(*models: OnnxModel, notes: list[str] | None = None, **answers: np.ndarray) -> list[ConversionCheck]:
    """Batches of 8, and so padding in nearly every one."""
    return check_conversions(
        chain_of(*models),
        ROWS,
        LABELS,
        JUDGING,
        answers=answers,
        max_length=32,
        batch_size=8,
        providers=["cuda", "cpu"],
        threads=1,
        on_step=(notes if notes is not None else []).append,
    )


def within(handoff: ConversionCheck) -> bool:
    """What the gate asks of the numbers of a hand-off."""
    return {
        "exact": handoff.max_abs_difference <= BOUNDS.parity_exact,
        "rounded": handoff.agreement >= BOUNDS.parity_rounded,
        "integer": handoff.rms_share <= BOUNDS.parity_integer,
    }[handoff.kind]


def test_a_sound_model_is_the_same_after_every_hand_off(models: dict[str, OnnxModel]) -> None:
    notes: list[str] = []
    found = [handoff for handoff in held(*models.values(), notes=notes) if handoff.target != "onnx (cuda)"]
    assert [(handoff.model, handoff.source, handoff.target, handoff.kind) for handoff in found] == [
        ("teacher", "pytorch", "onnx (cpu)", "exact"),
        ("quantized", "pytorch", "fake-quantised", "rounded"),
        ("quantized", "fake-quantised", "onnx (cpu)", "integer"),
    ]
    assert [(within(handoff), handoff.mismatch, handoff.first_divergence) for handoff in found] == [(True, "", "")] * 3
    assert {handoff.rows for handoff in found} == {60}
    assert found[0].max_abs_difference < 1e-5  # measured: 1e-6
    assert found[2].rms_share < 0.01
    assert found[1].rms_share > 1e-3  # rounding does something
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("name", "damage", "layer"),
    [
        ("teacher", transpose_weight(QUERY), QUERY),
        ("teacher", in_tensor("classifier.weight", lambda weight: weight[:, ::-1]), "classifier"),
        ("teacher", in_graph(ignore_mask), "bert.encoder.layer.0.attention.output.dense"),
        ("quantized", double_scale(FEED_IN), FEED_IN),
        ("quantized", in_graph(ignore_mask), "bert.encoder.layer.0.attention.output.dense"),
    ],
    ids=["transposed weight", "swapped outputs", "ignored mask", "wrong scale", "ignored mask in 8 bits"],
)
def test_damage_is_seen_in_the_numbers_and_located(
    models: dict[str, OnnxModel], tmp_path: Path, name: str, damage: Damage, layer: str
) -> None:
    *before, last = [h for h in held(damaged(models[name], tmp_path / "model", damage)) if h.target != "onnx (cuda)"]
    assert not within(last)
    assert last.first_divergence == layer
    assert last.mismatch == ""
    assert all(within(handoff) and handoff.first_divergence == "" for handoff in before)


def test_swapped_label_names_are_a_mismatch_that_no_number_shows(models: dict[str, OnnxModel], tmp_path: Path) -> None:
    change = in_json("config.json", swap_label_names)
    found = held(damaged(models["teacher"], tmp_path / "model", change))[0]
    assert found.mismatch == "label 0 is 'good' in config.json of onnx (cpu) and 'bad' in the data"
    assert within(found)


def test_the_tokenizer_of_another_model_is_a_mismatch_with_the_row_and_its_tokens(
    models: dict[str, OnnxModel], tmp_path: Path
) -> None:
    change = in_json("tokenizer.json", swap_words)
    found = held(damaged(models["teacher"], tmp_path / "model", change))[0]
    row = next(place for place, text in enumerate(ROWS.texts) if {"film", "story"} & set(text.split()))
    assert found.mismatch.startswith(f"row {row} of the test split, token ")
    ids = {"film": 6, "story": 9}
    words = [word for word in ROWS.texts[row].split() if word in ids]
    assert f" is '{words[0]}' ({ids[words[0]]}) in pytorch and '{words[0]}' (" in found.mismatch
    assert not within(found)
    assert found.agreement == 0.0


def test_answers_that_are_there_are_not_computed_again(models: dict[str, OnnxModel]) -> None:
    ours, theirs = np.zeros((60, 2), np.float32), np.tile(np.float32([0, 3]), (60, 1))
    found = check_conversions(
        chain_of(models["teacher"]),
        ROWS,
        LABELS,
        JUDGING,
        answers={"teacher-pytorch": ours, "teacher": theirs},
        max_length=32,
        batch_size=8,
        providers=["cpu"],
        threads=1,
        on_step=lambda note: None,
    )
    assert [handoff.max_abs_difference for handoff in found] == [3.0]
    # The graph itself is sound: what was answered elsewhere was not.
    assert found[0].first_divergence == ""


def test_other_providers_are_held_against_the_cpu(models: dict[str, OnnxModel]) -> None:
    folder = store.open_artifact(models["teacher"].artifact)
    reading = read(folder, ROWS, 32)
    names = ["pytorch", "fake-quantised", "onnx (tensorrt)", "onnx (cuda)", "onnx (cpu)"]
    pytorch, rounded, *sessions = [ModelVariant(name, folder, reading, "pytorch", ["cpu"], 8, 1) for name in names]
    told = [(one.name, other.name, kind) for one, other, kind in steps([pytorch, rounded], sessions)]
    assert told == [
        ("pytorch", "fake-quantised", "rounded"),
        ("fake-quantised", "onnx (cpu)", "integer"),
        ("onnx (cpu)", "onnx (tensorrt)", "integer"),
        ("onnx (cpu)", "onnx (cuda)", "integer"),
    ]
    assert [kind for *_, kind in steps([pytorch], sessions)] == ["exact"] * 3
    assert list(first_providers(folder / "model.onnx", ["cpu", "cuda"])) == ["cpu"]
    assert list(first_providers(folder / "model.onnx", ["tensorrt", "cuda", "cpu"]))[-1] == "cpu"


def test_a_graph_that_answers_nan_is_located_too(models: dict[str, OnnxModel], tmp_path: Path) -> None:
    change = in_tensor(f"{QUERY}.weight", lambda weight: np.full_like(weight, np.nan))
    found = held(damaged(models["teacher"], tmp_path / "model", change))[0]
    assert (found.max_abs_difference, found.agreement, found.first_divergence) == (np.inf, 0.0, QUERY)


def test_the_rows_looked_at_are_those_that_differ_most_and_the_shortest_and_longest(
    models: dict[str, OnnxModel],
) -> None:
    folder = store.open_artifact(models["teacher"].artifact)
    rows = Rows(["film " * words for words in (3, 1, 3, 9, 3, 3)], None, np.zeros(6, np.int64))
    apart = np.zeros((6, 2), np.float32)
    apart[2], apart[4] = 1.0, np.nan
    source, target = (
        ModelVariant("any", folder, read(folder, rows, 32), "pytorch", ["cpu"], 8, 1, known=logits)
        for logits in (np.zeros((6, 2), np.float32), apart)
    )
    assert most_different_rows(source, target, worst=2).tolist() == [1, 2, 3, 4]


def test_texts_cut_elsewhere_and_other_padding_are_told(models: dict[str, OnnxModel], tmp_path: Path) -> None:
    folder = store.open_artifact(models["teacher"].artifact)
    rows = Rows(["a film", "the film of a story"], None, np.zeros(2, np.int64))
    short_folder = shutil.copytree(folder, tmp_path / "short")
    in_json("tokenizer.json", lambda values: values["truncation"].update(max_length=5))(short_folder)
    whole, short = read(folder, rows, 32), read(short_folder, rows, 32)
    assert reading_difference("pytorch", whole, "onnx (cpu)", whole) == ""
    assert reading_difference("pytorch", whole, "onnx (cpu)", short) == (
        "row 1 of the test split, token 4 (both from 0) is 'a' (35) in pytorch and '[SEP]' (3) in onnx (cpu)"
    )
    shutil.copytree(folder, tmp_path / "model")
    in_json("tokenizer.json", lambda values: values["padding"].update(pad_id=4))(tmp_path / "model")
    assert reading_difference("pytorch", whole, "onnx (cpu)", read(tmp_path / "model", rows, 32)) == (
        "the padding token is '[PAD]' (0) in pytorch and '[MASK]' (4) in onnx (cpu)"
    )


def test_a_text_that_is_served_cut_at_its_other_side_is_a_mismatch(
    models: dict[str, OnnxModel], tmp_path: Path
) -> None:
    change = in_json("tokenizer.json", lambda values: values["truncation"].update(direction="Left", max_length=8))
    found = held(damaged(models["teacher"], tmp_path / "model", change))[0]
    assert " of the test split, token " in found.mismatch
    assert not within(found)


def test_token_types_that_one_side_alone_reads_are_told(models: dict[str, OnnxModel], tmp_path: Path) -> None:
    folder = store.open_artifact(models["teacher"].artifact)
    shutil.copytree(folder, tmp_path / "model")
    in_json("serving.json", lambda values: values.update(token_types=False))(tmp_path / "model")
    rows = Rows(["a film"], None, np.zeros(1, np.int64))
    one, other = read(folder, rows, 32), read(tmp_path / "model", rows, 32)
    assert reading_difference("pytorch", one, "onnx (cpu)", other) == (
        "only pytorch of pytorch and onnx (cpu) reads token types"
    )


def test_a_config_of_other_labels_is_told(models: dict[str, OnnxModel]) -> None:
    folder = store.open_artifact(models["teacher"].artifact)
    assert naming_difference("onnx (cpu)", folder, LABELS) == ""
    assert naming_difference("onnx (cpu)", folder, ["bad", "good", "mixed"]) == (
        "config.json of onnx (cpu) names 2 labels, and the data has 3"
    )
