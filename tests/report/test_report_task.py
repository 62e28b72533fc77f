import numpy as np
import pyarrow as pa
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
    )
    assert [row["text"] for row in found["lost"]] == ["bad"]
    assert found["lost"][0]["candidate"] == "positive"
    assert found["won"] == []
