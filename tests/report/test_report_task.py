import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks import evidence, store
from tasks.report.task import _examples


def test_examples_are_read_from_the_evidence_and_the_test_split(results, tmp_path):
    data, answers = tmp_path / "splits", tmp_path / "evidence"
    data.mkdir()
    columns = {"text": ["good", "bad"], "pair": pa.array([None, None], pa.string())}
    parquet.write_table(pa.table(columns | {"label": pa.array([1, 0], pa.int32())}), data / "test.parquet")
    right, wrong = np.array([[0, 2], [2, 0]], np.float32), np.array([[0, 1], [0, 3]], np.float32)
    evidence.save(answers, np.array([1, 0]), {"teacher": right, "quantized": wrong}, {})
    found = _examples(
        results["data"].model_copy(update={"artifact": store.describe(data, [])}),
        results["evaluation"].model_copy(update={"artifact": store.describe(answers, [])}),
        "shown",
    )
    assert [row["text"] for row in found["lost"]] == ["bad"]
    assert found["lost"][0]["candidate"] == "positive"
    assert found["won"] == []


@pytest.mark.parametrize("how", ["hashed", "none"])
def test_a_text_of_the_data_is_nowhere_in_the_examples_unless_the_recipe_shows_it(results, tmp_path, how):
    marker = "planted-7731"
    data, answers = tmp_path / "splits", tmp_path / "evidence"
    data.mkdir()
    columns = {"text": [f"{marker} good", f"{marker} bad"], "pair": pa.array([marker, marker], pa.string())}
    parquet.write_table(pa.table(columns | {"label": pa.array([1, 0], pa.int32())}), data / "test.parquet")
    right, wrong = np.array([[0, 2], [2, 0]], np.float32), np.array([[0, 1], [0, 3]], np.float32)
    evidence.save(answers, np.array([1, 0]), {"teacher": right, "quantized": wrong}, {})
    found = _examples(
        results["data"].model_copy(update={"artifact": store.describe(data, [])}),
        results["evaluation"].model_copy(update={"artifact": store.describe(answers, [])}),
        how,
    )
    assert found["lost_rows"] == 1
    assert marker not in json.dumps(found)
    assert found["lost"][0]["text"].startswith("sha256:") == (how == "hashed")
