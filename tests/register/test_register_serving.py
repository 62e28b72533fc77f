"""The model as MLflow runs it: answers, types of its input, sessions, and what it may import."""

import ast
import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import numpy as np
import onnx
import pytest

from hone.tasks.model.runtime.runtime import Classifier
from hone.tasks.probe.probe import RUNTIME
from hone.tasks.register import serving
from tests.register.conftest import LABELS, PAIRS, TEXTS, write_model


def classifier(folder: Path, kind: str = "text_model", **session: Any) -> Any:
    """`predict` of the served class, loaded as MLflow loads it."""
    from hone.tasks.register import serving_model

    artifacts = {"model": str(folder), "runtime": str(RUNTIME)}
    context = SimpleNamespace(artifacts=artifacts, model_config={"pairs": False, "session": session})
    model = getattr(serving_model, kind)(serving_model.Answer)
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
    whole = classifier(model_folder)
    assert whole([long]) == whole(["good film " * 3])
    write_model(model_folder, max_length=5)
    assert classifier(model_folder)([long]) == whole(["good film good"])


def test_pairs_are_one_input_with_two_types(model_folder: Path) -> None:
    write_model(model_folder, pairs=True)
    predict = classifier(model_folder, "pair_model")
    answers = predict([{"text": text, "text_pair": pair} for text, pair in zip(TEXTS, PAIRS, strict=True)])
    assert chances(answers) == pytest.approx(chances(Classifier(model_folder).answers(TEXTS, PAIRS)), abs=1e-6)
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
    answers = classifier(model_folder)(TEXTS)
    assert chances(answers).sum(axis=1) == pytest.approx(np.ones(len(TEXTS)))


def test_a_provider_that_is_not_there_gives_way_to_the_next(model_folder: Path) -> None:
    on_the_cpu = classifier(model_folder)(TEXTS)
    for absent in ("tensorrt", "cuda"):
        # Only the last digits may differ where a GPU provider is there after all.
        for providers in ([absent, "cpu"], [absent]):
            answers = classifier(model_folder, providers=providers)(TEXTS)
            assert chances(answers) == pytest.approx(chances(on_the_cpu), abs=1e-3)


def test_the_served_files_need_what_their_requirements_name_and_nothing_of_hone() -> None:
    imported: set[str] = set()
    for file in (serving.CODE, RUNTIME):
        tree = ast.parse(file.read_text())
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in imported} - sys.stdlib_module_names
    pinned = dict(line.split("==") for line in serving.requirements("text-classification"))
    assert foreign == {name.removesuffix("-gpu") for name in pinned}
    assert all(importlib.metadata.version(name) == found for name, found in pinned.items())


@pytest.mark.parametrize(
    ("task", "answered"),
    [
        ("multi-label-classification", {"labels", "probabilities"}),
        ("regression", {"number"}),
        ("text-classification", {"label", "score", "probabilities"}),
    ],
)
def test_mlflow_reads_the_kind_of_answer_from_the_served_class(task: str, answered: set[str]) -> None:
    from mlflow.types.type_hints import _infer_schema_from_list_type_hint

    from hone.tasks.register import serving_model

    for make, row in ((serving_model.text_model, str), (serving_model.pair_model, serving_model.Pair)):
        hints = get_type_hints(make(serving_model.ANSWERS[task]).predict)
        assert hints["model_input"] == list[row]  # type: ignore[valid-type]
        (column,) = _infer_schema_from_list_type_hint(hints["return"]).inputs
        assert {field.name for field in column.type.properties} == answered
