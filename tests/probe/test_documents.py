"""A language model continues prompts here, in a bare process, behind MLflow and from the command line."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from hone.flows.predict import run_predict
from hone.tasks.model.runtime.predict import answer, read
from hone.tasks.model.text import Rows
from hone.tasks.objectives.text_generation.generating import CHOICE, NLL, Generator
from hone.tasks.probe.golden import read_golden, write_continuations
from hone.tasks.probe.probe import DOCUMENTS, probe
from hone.tasks.register import serving
from tests.objectives.documents import LENGTH, documents

TEXTS = [*documents(6), "a  b\n\tc", ""]
ROWS = Rows(TEXTS, None, np.zeros(len(TEXTS), np.int64))
CONTEXT = 64


@pytest.fixture(scope="module")
def golden(folder: Path, generator: Generator) -> Path:
    path = folder.with_name("documents.json")
    write_continuations(path, ROWS, generator, ["document"])
    return path


def test_the_exported_model_scores_documents_as_the_checkpoint_does(checkpoint: Path, folder: Path) -> None:
    found = [
        answer(place, form, read(place, ROWS, LENGTH), batch_size=4, providers=["cpu"], threads=1)
        for place, form in ((checkpoint, "pytorch"), (folder, "onnxruntime"))
    ]
    assert found[0].offsets.tolist() == found[1].offsets.tolist()
    assert np.abs(found[0].values[:, NLL] - found[1].values[:, NLL]).max() < 1e-4  # measured: 2e-5
    assert np.array_equal(found[0].values[:, CHOICE], found[1].values[:, CHOICE])


def test_a_continuation_is_transformers_own_greedy_one(checkpoint: Path, generator: Generator) -> None:
    model = LlamaForCausalLM.from_pretrained(checkpoint).eval()
    for prompt in ("the cat", "", "friends.\nthe"):
        (told,) = generator.answers([prompt], most=20)
        ids = [generator.reader.boundary, *generator.reader.encode([prompt])[0]]
        with torch.no_grad():
            whole = model.generate(
                torch.tensor([ids]),
                max_new_tokens=20,
                do_sample=False,
                eos_token_id=sorted(generator.reader.ends),
                pad_token_id=generator.reader.boundary,
            )
        expected = whole[0, len(ids) :].tolist()
        assert told["tokens"] == [token for token in expected if token not in generator.reader.ends]
        assert told["finished"] == (expected[-1] in generator.reader.ends)
        assert told["text"] == generator.reader.tokenizer.decode(told["tokens"])
        assert all(0 < score <= 1 for score in told["scores"])


def test_a_prompt_beyond_the_context_or_that_is_no_text_is_refused(generator: Generator) -> None:
    assert generator.context == CONTEXT
    long = "the cat in the barn " * 40
    with pytest.raises(ValueError, match=rf"prompt 1 has \d+ tokens, and .* reads at most {CONTEXT}: shorten it"):
        generator.answers(["a", long])
    with pytest.raises(ValueError, match="give each row one text and no pair"):
        generator.answers(["a"], ["b"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="row 0 holds int where a text is asked for"):
        generator.answers([3])  # type: ignore[list-item]


def test_a_continuation_ends_where_the_context_does(generator: Generator) -> None:
    ids = generator.reader.encode(["the cat in the barn " * 40])[0][: CONTEXT - 4]
    assert len(generator.steps([generator.reader.boundary, *ids], most=50)) <= 3


def test_golden_requests_are_answered_in_a_fresh_process(folder: Path, golden: Path) -> None:
    asked = read_golden(golden)
    assert len(asked.requests) == len(TEXTS)
    assert asked.rows[-1] == ""
    assert asked.continuations is not None
    assert max(one["certain"] for one in asked.continuations) > 5
    found = probe(folder, golden)
    assert (found.error, found.answered, found.requests) == ("", len(TEXTS), len(TEXTS))
    assert found.max_abs_difference < 1e-5


def test_a_golden_request_that_is_continued_otherwise_is_noticed(folder: Path, golden: Path, tmp_path: Path) -> None:
    told = json.loads(golden.read_text())
    sure = [index for index, one in enumerate(told["continuations"]) if one["certain"] > 2]
    told["continuations"][sure[0]]["tokens"][0] += 1
    told["continuations"][sure[1]]["scores"][1] += 0.01
    (tmp_path / "golden.json").write_text(json.dumps(told))
    found = probe(folder, tmp_path / "golden.json")
    assert found.answered == found.requests - 2
    assert found.max_abs_difference == 1.0


def test_what_another_machine_may_choose_otherwise_is_not_asked_of_it(
    folder: Path, golden: Path, tmp_path: Path
) -> None:
    told = json.loads(golden.read_text())
    for one in told["continuations"]:
        one["certain"] = min(one["certain"], 1)
        one["tokens"][2:] = [0] * len(one["tokens"][2:])
        one["text"] = "another"
    (tmp_path / "golden.json").write_text(json.dumps(told))
    found = probe(folder, tmp_path / "golden.json")
    assert found.answered == found.requests


def test_mlflows_file_answers_the_same(folder: Path, generator: Generator) -> None:
    from hone.tasks.register import serving_documents

    code, files = serving.served_by("text-generation")
    assert (code.name, files) == ("serving_documents.py", DOCUMENTS)
    model = serving_documents.PromptContinuer()
    artifacts = {"model": str(folder), **{name: str(path) for name, path in files.items()}}
    model.load_context(SimpleNamespace(artifacts=artifacts, model_config={"session": {}}))
    assert model.predict(None, ["the cat"]) == generator.answers(["the cat"])


def test_hone_predict_continues_the_prompts_of_a_file(
    folder: Path, generator: Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "asked.txt").write_text("the cat\nthe dog in\n")
    out = io.StringIO()
    assert run_predict(str(folder), str(tmp_path / "asked.txt"), "", str(tmp_path), out) == "DONE"
    assert [json.loads(line) for line in out.getvalue().splitlines()] == generator.answers(["the cat", "the dog in"])
    (tmp_path / "long.txt").write_text("the cat in the barn " * 40)
    assert run_predict(str(folder), str(tmp_path / "long.txt"), "", str(tmp_path), io.StringIO()) == "INVALID"
    assert "long.txt: prompt 0 has" in capsys.readouterr().err
