import contextlib
import json
import re
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.tasks import evidence, store
from hone.tasks.report import task
from hone.tasks.report.page import render_page
from hone.tasks.report.plots import draw
from hone.tasks.report.summary import check_lines, summary_markdown
from hone.tasks.report.task import _examples, _show, note


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
        "text-classification",
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
        "text-classification",
    )
    assert found["lost_rows"] == 1
    assert marker not in json.dumps(found)
    assert found["lost"][0]["text"].startswith("sha256:") == (how == "hashed")


RUN = UUID(int=7)


@pytest.fixture
def made(monkeypatch):
    """What Prefect is told to show, in that order: the kind and key of each artifact, and what else is said of it."""
    found = []

    class Client:
        def create_artifact(self, artifact):
            found.append((artifact.type, artifact.key, artifact.model_dump()))

    def keep(kind):
        return lambda data, key, **rest: found.append((kind, key, {"data": data, **rest}))

    monkeypatch.setattr(task, "get_client", lambda **_: contextlib.nullcontext(Client()))
    monkeypatch.setattr(task, "get_flow_run_id", lambda: RUN)
    monkeypatch.setattr(task, "create_image_artifact", keep("image"))
    monkeypatch.setattr(task, "create_link_artifact", keep("link"))
    for page in ("run_page", "version_page", "artifact_page"):
        monkeypatch.setattr(task.pages, page, lambda *named: f"http://mlflow/{'/'.join(named)}")
    return found


def test_the_report_is_the_runs_own_artifact_before_pictures_and_links_of_its_tasks(report, results, made):
    _show(report, results["registered"], draw(report))
    assert [(kind, key) for kind, key, _ in made] == [
        ("markdown", "reviews-report"),
        ("image", "reviews-accuracy-against-latency"),
        ("image", "reviews-curves-train"),
        ("image", "reviews-curves-distill"),
        ("image", "reviews-curves-quantize"),
        ("link", "reviews-mlflow-run"),
        ("link", "reviews-registry-version"),
    ]
    table = made[0][2]
    assert (table["flow_run_id"], table["task_run_id"]) == (RUN, None)  # Prefect's page shows it above those of tasks
    assert table["description"] == "ACCEPTED: [the whole report](http://mlflow/run-pipeline/report.html)"
    assert table["data"] == summary_markdown(report)


def test_every_number_in_prefects_table_has_its_unit(report):
    """But counts of hand-offs, of requests and of slices, and what a share or a level is of."""
    _, *table = (line for line in summary_markdown(report).splitlines() if line.startswith("| ") and "---" not in line)
    cells = [cell.strip() for line in table for cell in line.split("|")[2:-1]]
    assert [cell for cell in cells if not re.fullmatch(r"–|[\d.]+(%|×| [kM]B)", cell)] == []
    figures = re.findall(r"[+−]?\d+\.\d+\S*(?: \S+)?", " ".join(summary_markdown(report).split("\n\n")[1].splitlines()))
    assert figures
    assert [one for one in figures if not re.search(r"%|×| points| at$", one)] == []  # a bound has its value's unit


def test_which_look_at_the_test_rows_it_was_is_told_everywhere(report):
    report |= {"look": 7, "level": 0.05 / 56}
    told = (
        "look 7 on these test rows: it accepts at level 0.089%, so that all looks together err at most 5% of the time"
    )
    assert check_lines(report)[-1] == f"[dim]{told}[/]"
    assert f"\n\n{told}\n\n" in summary_markdown(report)
    assert f"L{told[1:]}." in " ".join(render_page(report).split())
    report["look"] = 0  # nobody counted
    assert "test rows: it accepts" not in " ".join(
        [*check_lines(report), summary_markdown(report), render_page(report)]
    )


@pytest.mark.parametrize(("error", "said"), [(0.38, True), (0.1, False), (None, False)])
def test_probabilities_that_are_far_off_are_remarked_on_whatever_the_recipe_asks(report, error, said):
    selected = next(one for one in report["candidates"] if one["name"] == report["selected"])
    selected["metrics"]["calibration_error"] = error
    page = " ".join(render_page(report).split())
    assert ("Its probabilities are off by 38% on average (calibration error): do not read them" in page) == said
    assert ("do not read them as chances" in page) == said


def test_the_runs_note_in_mlflow_names_the_version_and_leads_to_prefect(results):
    page = "http://prefect:4200/runs/flow-run/7"
    said = f"**{results['verdict'].headline()}**"
    assert note(results["verdict"], "reviews/4", page).split("\n\n") == [
        said,
        "Registered as `reviews/4`.",
        f"[The run in Prefect]({page})",
    ]
    assert note(results["verdict"], "", "").split("\n\n") == [said, "Not registered."]
