"""The quickstart's recipe, on a few rows: its data, its encoder, its stages, its providers."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hone.flows.__main__ import app

ROOT = Path(__file__).resolve().parents[2]
SHORT = [
    "data.libraries=[networkx, numpy]",
    "data.max_rows_per_label=60",
    "model.max_length=32",
    "train.epochs=1",
    "distill.layer_count=2",
    "distill.epochs=1",
    "distill.augment=0",
    "prune.epochs=0",
    "prune.importance_rows=64",
    "quantize.method=ptq",
    "evaluate.cells=[1x16]",
    "evaluate.rounds=1",
    "evaluate.samples=3",
    "evaluate.quiet_seconds=0",
    "gate.max_background_load=1",
]


@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("prefect_server", "works_here")
def test_the_quickstart_compresses_the_docstring_corpus_to_integers(tmp_path: Path) -> None:
    overrides = [part for setting in [*SHORT, f"compute.storage={tmp_path}/storage"] for part in ("--set", setting)]
    recipe, output = ROOT / "configs" / "quickstart.yaml", tmp_path / "out"
    done = CliRunner().invoke(app, ["optimize", str(recipe), *overrides, "--output", str(output)])
    # Trained on 90 texts for one epoch, it may well be refused; that it is judged is what counts.
    assert done.exit_code in (0, 3, 4), done.output
    report = json.loads((output / "report.json").read_text())
    assert report["data"]["labels"] == ["networkx", "numpy"]
    assert sum(report["data"]["rows"].values()) == 2 * 60
    found = {candidate["name"]: candidate for candidate in report["candidates"]}
    selected, teacher = found["quantized"], found["teacher"]
    assert report["selected"] == "quantized"
    assert (selected["precision"], selected["provider"]) == ("int8", "CPUExecutionProvider")
    assert selected["size_bytes"] < teacher["size_bytes"] / 4
    assert selected["placement"]["fallback"] == []
    verdicts = {check["name"]: check["verdict"] for check in report["checks"]}
    assert verdicts["serves"] == verdicts["parity"] == "ACCEPTED"
