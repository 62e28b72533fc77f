"""The served file on its own: cleaning, truncation, batches, providers, and what it may import."""

import ast
import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.recipe import parse_recipe
from tasks.data.clean import normalizer
from tasks.errors import RegistryError
from tasks.model.text import Rows
from tasks.probe import golden
from tasks.register import serving
from tests.register.conftest import LABELS, PAIRS, TEXTS

pytestmark = pytest.mark.xdist_group("mlflow")

CPU = ["CPUExecutionProvider"]
SETTINGS = {
    "pairs": False,
    "providers": CPU,
    "tensorrt_int8": False,
    "max_length": 8,
    "lowercase": False,
    "strip_punctuation": False,
}


def classifier(folder: Path, kind: str = "TextClassifier", **settings: Any) -> Any:
    """`predict` of the served class, loaded as MLflow loads it."""
    from tasks.register import serving_model

    context = SimpleNamespace(artifacts={"model": str(folder)}, model_config=SETTINGS | settings)
    model = getattr(serving_model, kind)()
    model.load_context(context)
    return lambda rows: model.predict(context, rows)


def chances(answers: list[dict[str, Any]]) -> Any:
    return np.array([list(answer["probabilities"].values()) for answer in answers])


def test_answers_come_in_the_order_of_the_texts_and_padding_changes_none(model_folder: Path) -> None:
    predict = classifier(model_folder)
    texts = [" ".join(TEXTS[place % 5].split() * (place % 3 + 1)) for place in range(100)]
    one_by_one = [predict([text])[0] for text in texts]
    # Measured: 6e-8.
    assert np.abs(chances(predict(texts)) - chances(one_by_one)).max() < 1e-6
    assert predict([]) == []


def test_probabilities_add_up_to_one_and_the_score_is_the_labels_own(model_folder: Path) -> None:
    for answer in classifier(model_folder)(TEXTS):
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert answer["score"] == answer["probabilities"][answer["label"]] == max(answer["probabilities"].values())
        assert list(answer["probabilities"]) == LABELS


def test_texts_are_cut_to_the_length_the_model_learnt_with(model_folder: Path) -> None:
    long = "good film " * 30
    short = classifier(model_folder, max_length=4)
    assert short([long]) == short(["good film"])
    assert classifier(model_folder, max_length=5)([long]) == classifier(model_folder)(["good film good"])


@settings(deadline=None)
@given(text=st.text(), lowercase=st.booleans(), strip_punctuation=st.booleans())
@example(text="\u00c4rger, A\u0308RGER!\u2003$5 \u00abC++\u00bb", lowercase=True, strip_punctuation=True)
def test_texts_are_cleaned_as_the_data_was(text: str, lowercase: bool, strip_punctuation: bool) -> None:
    from tasks.register import serving_model

    model = serving_model.TextClassifier()
    model._lowercase, model._strip_punctuation = lowercase, strip_punctuation
    assert model._clean(text) == normalizer(lowercase, strip_punctuation)(text)


def test_pairs_are_one_input_with_two_types(model_folder: Path) -> None:
    predict = classifier(model_folder, "PairClassifier")
    answers = predict([{"text": text, "text_pair": pair} for text, pair in zip(TEXTS, PAIRS, strict=True)])
    rows = golden.choose_rows(Rows(TEXTS, PAIRS, np.zeros(len(TEXTS), np.int64)), 8)
    assert chances(answers) == pytest.approx(golden.probabilities(model_folder, rows, 8, ["cpu"]), abs=1e-6)
    swapped = predict([{"text": pair, "text_pair": text} for text, pair in zip(TEXTS, PAIRS, strict=True)])
    assert np.abs(chances(answers) - chances(swapped)).max() > 1e-3


def test_a_frame_with_one_column_is_a_list_of_texts_and_anything_else_is_refused(model_folder: Path) -> None:
    import pandas as pd
    from mlflow.exceptions import MlflowException

    predict = classifier(model_folder)
    assert predict(pd.DataFrame({"text": TEXTS})) == predict(TEXTS)
    with pytest.raises(MlflowException, match="Expected list, but got str"):
        predict("good film")
    with pytest.raises(MlflowException, match="Expected type str, but got int"):
        predict([1])


def test_a_model_without_token_types_is_not_given_any(model_folder: Path, tmp_path: Path) -> None:
    model = onnx.load(model_folder / "model.onnx")
    types = next(given for given in model.graph.input if given.name == "token_type_ids")
    model.graph.input.remove(types)
    for node in model.graph.node:
        node.input[:] = ["words" if name == "types" else name for name in node.input]
        node.input[:] = ["input_ids" if name == "token_type_ids" else name for name in node.input]
    onnx.save(model, model_folder / "model.onnx")
    expected = golden.probabilities(model_folder, TEXTS, 8, ["cpu"])
    assert chances(classifier(model_folder)(TEXTS)) == pytest.approx(expected, abs=1e-6)


def test_a_provider_that_is_not_there_gives_way_to_the_next(model_folder: Path) -> None:
    on_the_cpu = classifier(model_folder)(TEXTS)
    for absent in ("OpenVINOExecutionProvider", "TensorrtExecutionProvider", "CUDAExecutionProvider"):
        # Only the last digits may differ where a GPU provider is there after all.
        for providers in ([absent, *CPU], [absent]):
            answers = classifier(model_folder, providers=providers, tensorrt_int8=True)(TEXTS)
            assert chances(answers) == pytest.approx(chances(on_the_cpu), abs=1e-3)


def test_settings_of_the_served_model_are_the_recipes(model_folder: Path) -> None:
    recipe = parse_recipe(
        {
            "data": {"train": "a.csv", "lowercase": True},
            "model": {"source": "a", "max_length": 32},
            "export": {"providers": ["tensorrt", "cuda", "cpu"]},
        }
    )
    assert golden.serving_settings(recipe, model_folder, has_pairs=True) == {
        "pairs": True,
        "providers": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
        "tensorrt_int8": False,
        "max_length": 32,
        "lowercase": True,
        "strip_punctuation": False,
    }


def test_the_served_file_needs_what_its_requirements_name_and_nothing_of_hone() -> None:
    tree = ast.parse(serving.CODE.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in imported} - sys.stdlib_module_names
    pinned = dict(line.split("==") for line in serving.requirements())
    assert foreign == {name.removesuffix("-gpu") for name in pinned}
    assert all(importlib.metadata.version(name) == found for name, found in pinned.items())


def test_proof_names_the_text_that_differs_and_both_answers(model_folder: Path) -> None:
    predict = classifier(model_folder)
    expected = golden.probabilities(model_folder, TEXTS, 8, ["cpu"])
    assert serving.prove(predict, TEXTS, expected) < 1e-6
    expected[3] = [1.0, 0.0, 0.0]
    with pytest.raises(
        RegistryError, match=r"on 'the great film': \[.*\] instead of \[1.0, 0.0, 0.0\]; no alias was set"
    ):
        serving.prove(predict, TEXTS, expected)
    expected[3] = float("nan")
    with pytest.raises(RegistryError, match="differs from the exported one by nan"):
        serving.prove(predict, TEXTS, expected)
    with pytest.raises(RegistryError, match="gives 3 probabilities a text and the exported one 2: no alias was set"):
        serving.prove(predict, TEXTS, expected[:, :2])
