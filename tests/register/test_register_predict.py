"""`hone predict` asks a registered model by the files and the runtime that were registered, and no others."""

import io
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from hone.flows.predict import run_predict
from hone.tasks import tracking
from hone.tasks.model.runtime.runtime import Classifier
from hone.tasks.tracking import server
from tests.register.conftest import TEXTS, Chain
from tests.register.test_register_task import register


def test_a_version_answers_a_file_by_its_alias_and_by_its_number(
    chain: Callable[..., Chain], storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = chain()
    registered = register(made)
    name, version = registered.name, registered.version
    file = tmp_path / "asked.csv"
    file.write_text("id,text\n" + "".join(f'{row},"{text}"\n' for row, text in enumerate(TEXTS)))

    def ask(model: str) -> tuple[str, list[dict[str, object]], str]:
        out = io.StringIO()
        ended = run_predict(model, str(file), "", str(storage), out)
        return ended, [json.loads(line) for line in out.getvalue().splitlines()], capsys.readouterr().err

    expected = Classifier(made.model).answers(TEXTS)
    assert ask(f"{name}@challenger") == ask(f"{name}/{version}") == ("DONE", expected, "")
    for absent in (f"{name}@champion", f"{name}/7", "nobody@champion"):
        ended, answers, told = ask(absent)
        assert (ended, answers) == ("INVALID", [])
        assert f"MLflow has no '{absent}'" in told

    source = tracking.get_version(name, version).source  # type: ignore[union-attr]
    kept = server.client().get_logged_model(source.removeprefix("models:/")).artifact_location
    (code,) = Path(urllib.request.url2pathname(urllib.parse.urlparse(kept).path)).rglob("runtime.py")
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{code.read_text()}")
    ended, answers, told = ask(f"{name}@challenger")
    assert (ended, answers) == ("FAILED", [])
    assert "runtime.py changed" in told
    assert not (tmp_path / "ran").exists()
