"""The quickstart's recipe, with fewer rows and epochs: a real encoder, real docstrings, real workers."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["data.max_rows_per_label=60", "train.epochs=1", "distill.epochs=1", "prune.epochs=1", "quantize.epochs=1"]
LIGHT = ["evaluate.rounds=1", "evaluate.samples=3", "evaluate.cells=[1x16]", "gate.min_speedup=1.0"]


def test_the_quickstarts_recipe_goes_through_the_whole_chain(tmp_path: Path) -> None:
    overrides = [*SHORT, *LIGHT, f"compute.storage={tmp_path / 'storage'}", "gate.min_accuracy_kept=0.1"]
    flags = [part for override in overrides for part in ("--set", override)]
    recipe = str(ROOT / "configs" / "quickstart.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "flows", "optimize", recipe, "--output", str(tmp_path / "out"), *flags],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["verdict"] == {0: "ACCEPTED", 3: "REJECTED"}[done.returncode]
    assert len(report["data"]["labels"]) == 6
    found = {candidate["name"]: candidate for candidate in report["candidates"]}
    assert found["quantized"]["precision"] == "int8"
    assert found["quantized"]["provider"] == "CPUExecutionProvider"
    assert found["quantized"]["size_bytes"] < found["teacher"]["size_bytes"] / 4
    assert found["teacher"]["parameters"] > 22_000_000
