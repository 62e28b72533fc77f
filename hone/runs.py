"""A run of the whole chain, in a process of its own: a notebook keeps its memory, its event loop and its modules."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hone.configs.recipe import Recipe, load_recipe
from hone.models import Model, load_model
from hone.tasks import errors
from hone.tasks.errors import HoneError, PreflightError
from hone.tasks.version import import_folder

COMMAND = "import sys; code = sys.argv.pop(1); code in sys.path or sys.path.insert(0, code)\n"
COMMAND += "from hone.flows.__main__ import main; main()"
INVALID = 2
GRACE_SECONDS = 60.0
"""That an interrupted run has to stop its workers."""
VERDICTS = (0, 3, 4)
"""Exit statuses of a run that came to a verdict."""
REPORT = re.compile(r"^report  (.+/report)\.html$", re.M)


@dataclass(frozen=True)
class Run:
    """A run that came to a verdict."""

    verdict: str
    """ACCEPTED, REJECTED or INCONCLUSIVE."""
    folder: Path
    """Where `report.html`, `report.json` and `model/` lie."""
    report: dict[str, Any] = field(repr=False)
    """The content of `report.json`."""

    def model(self) -> Model:
        """The selected model, whatever the verdict.

        Raises:
            HoneError: when it cannot be loaded.
        """
        return load_model(self.folder)


def run(
    recipe: Recipe | str | Path, output: str | Path = "", *, fresh: bool = False, tell: Callable[[str], Any] = print
) -> Run:
    """Runs the whole chain, as `hone optimize` does, and waits for its end; interrupting the cell ends it.

    Args:
        recipe: or the path of its YAML file. Relative paths in it are from the current folder.
        output: folder of the report and the model; by default one for each run, which runs/NAME/latest leads to.
        fresh: ignore the finished stages of earlier runs.
        tell: is called with each line that the command would print.

    Raises:
        RecipeError: when the recipe cannot be used.
        PreflightError: when something it names is not there, or does not fit; nothing was trained.
        HoneError: when the run failed.
    """
    settings = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    with tempfile.TemporaryDirectory(prefix="hone-recipe-") as folder:
        file = Path(folder, "recipe.yaml")
        file.write_text(yaml.safe_dump(settings.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
        options = [*(["--output", str(output)] if str(output) else []), *(["--fresh"] if fresh else [])]
        status, lines = _call(["optimize", str(file), *options], tell)
    said = "\n".join(lines)
    if status not in VERDICTS:
        raise _error(lines, status)
    report = Path(f"{REPORT.findall(said)[-1]}.json")
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return Run(str(content["verdict"]), report.parent, content)


def _call(arguments: list[str], tell: Callable[[str], Any]) -> tuple[int, list[str]]:
    """Exit status and lines of a command of Hone's, by this Python and this code, whatever lies in the current folder
    under the names of Hone's modules."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", COMMAND, str(import_folder()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # a terminal's interrupt comes once: from here
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            tell(lines[-1])
    except BaseException:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    return process.wait(), lines


def _error(lines: list[str], status: int) -> HoneError:
    """The error that the command told, as the class that it was."""
    starts = [number for number, line in enumerate(lines) if re.match(r"\w+Error: ", line)]
    kind, _, said = "\n".join(lines[starts[-1] :]).partition(": ") if starts else ("", "", "\n".join(lines[-5:]))
    known = getattr(errors, kind, PreflightError if status == INVALID else HoneError)
    error: HoneError = known(said.strip() or f"the run ended with exit status {status}")
    return error
