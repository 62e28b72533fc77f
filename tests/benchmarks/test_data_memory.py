"""A million rows go through preparation in the memory of a laptop."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = 1_000_000
GIBIBYTE = 2**30

MEASURE = """
import json, resource, sys, time
from pathlib import Path
from hone.configs.data import DataSettings
from hone.tasks.data.prepare import prepare
from hone.tasks.data.source import open_source

settings = DataSettings(train=sys.argv[1])
started = time.monotonic()
prepared = prepare(open_source(settings), settings, 0, Path(sys.argv[2]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"rows": prepared.rows, "seconds": time.monotonic() - started, "peak_bytes": peak}))
"""


def _write_rows(path: Path) -> None:
    """20 words a row: two of 2,000 stock phrases, and a number that makes each row its own."""
    openings = [" ".join(f"word{(place * 7 + step * 131) % 9973}" for step in range(10)) for place in range(2000)]
    endings = [" ".join(f"term{(place * 11 + step * 137) % 9973}" for step in range(9)) for place in range(2000)]
    with path.open("w", encoding="utf-8") as stream:
        stream.write("text,label\n")
        for row in range(ROWS):
            stream.write(f"{openings[row % 2000]} {row} {endings[row * 31 % 1999]},class{row % 4}\n")


@pytest.mark.benchmark
def test_a_million_rows_of_twenty_words_are_prepared_in_four_gibibytes(tmp_path: Path) -> None:
    _write_rows(tmp_path / "rows.csv")

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "rows.csv"), str(tmp_path / "splits")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert sum(measured["rows"].values()) == ROWS
    assert measured["peak_bytes"] < 4 * GIBIBYTE  # measured: 1.2e9 bytes
