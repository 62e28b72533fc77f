"""A language model answers chats here, in a bare process, behind MLflow and from the command line."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from hone.flows.predict import run_predict
from hone.tasks.errors import ExportError
from hone.tasks.export import tokenization
from hone.tasks.model.runtime.delivered import open_generator
from hone.tasks.model.runtime.predict import answer, read
from hone.tasks.model.runtime.runtime import TextSettings
from hone.tasks.objectives.text_generation.chat import has_template
from hone.tasks.objectives.text_generation.generating import CHOICE, NLL, Generator
from hone.tasks.probe.golden import read_golden, write_continuations
from hone.tasks.probe.probe import DOCUMENTS, probe
from hone.tasks.register import serving
from tests.objectives.chats import conversations, learned, messages, pair, rows_of
from tests.objectives.documents import LENGTH

TOLD = conversations(6)
GREETING = messages(("assistant", "hello."))
ROWS = rows_of([*(learned(told) for told in TOLD), pair("the cat in the", " barn."), GREETING])
ASKED = [{"role": "user", "content": "the owl?"}]


@pytest.fixture(scope="module")
def golden(folder: Path, generator: Generator) -> Path:
    path = folder.with_name("chats.json")
    write_continuations(path, ROWS, generator, ["conversation"])
    return path


def test_the_exported_model_scores_the_same_tokens_of_answers_as_the_checkpoint_does(
    checkpoint: Path, folder: Path
) -> None:
    readings = [read(place, ROWS, LENGTH) for place in (checkpoint, folder)]
    for one in readings:
        assert one.documents is not None
        assert len(one.documents) > len(ROWS)  # some are longer than a window
    found = [
        answer(place, form, reading, batch_size=4, providers=["cpu"], threads=1)
        for place, form, reading in zip((checkpoint, folder), ("pytorch", "onnxruntime"), readings, strict=True)
    ]
    assert found[0].offsets.tolist() == found[1].offsets.tolist()
    assert found[0].lengths.min() > 0
    assert np.abs(found[0].values[:, NLL] - found[1].values[:, NLL]).max() < 1e-4
    assert np.array_equal(found[0].values[:, CHOICE], found[1].values[:, CHOICE])


def test_the_tokens_that_are_scored_are_the_answers(checkpoint: Path) -> None:
    found = read(checkpoint, ROWS, LENGTH).documents
    assert found is not None
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    scored = [tokenizer.decode(part) for part in np.split(found.ids[found.scored], found.tokens[1:-1])]
    ends = ["".join(f"{one['content']}<|done|>" for one in told if one["role"] == "assistant") for told in TOLD]
    assert scored == [*ends, " barn.<|endoftext|>", "hello.<|done|>"]


def test_an_answer_is_transformers_own_greedy_one(checkpoint: Path, generator: Generator) -> None:
    model = LlamaForCausalLM.from_pretrained(checkpoint).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    assert generator.reader.ends == {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|done|>")}
    for chat in (ASKED, [{"role": "system", "content": "be brief."}, *ASKED]):
        (told,) = generator.answers([chat], most=12)
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert generator.reader.read_prompts([chat]) == [ids]
        with torch.no_grad():
            whole = model.generate(
                torch.tensor([ids]),
                max_new_tokens=min(12, generator.context - len(ids)),
                do_sample=False,
                eos_token_id=sorted(generator.reader.ends),
                pad_token_id=tokenizer.eos_token_id,
            )
        expected = whole[0, len(ids) :].tolist()
        assert told["tokens"] == [token for token in expected if token not in generator.reader.ends]
        assert told["finished"] == (expected[-1] in generator.reader.ends)


def test_an_answer_ends_with_the_token_that_ends_a_message(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = generator.answers([ASKED], most=3)
    monkeypatch.setattr(generator.reader, "ends", {first["tokens"][1]})
    (told,) = generator.answers([ASKED], most=3)
    assert told["finished"]
    assert told["tokens"] == first["tokens"][: first["tokens"].index(first["tokens"][1])]


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        ([{"role": "user"}], "row 0 is a chat, of which each message has to be a role and a content"),
        ([], "row 0 is a chat, of which each message"),
        ([*ASKED, {"role": "assistant", "content": "a"}], "row 0 is a chat that ends with an answer: end it with what"),
        ([{"role": "user", "content": "the cat in the barn " * 40}], r"prompt 0 has \d+ tokens.*shorten it"),
    ],
)
def test_a_chat_that_cannot_be_answered_is_refused(generator: Generator, chat: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        generator.answers([chat])


def test_a_model_without_a_template_answers_no_chats(folder: Path, tmp_path: Path) -> None:
    assert has_template(folder)
    for path in folder.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(path)
    assert not has_template(tmp_path)
    with pytest.raises(ValueError, match="row 0 is a chat, and the model has no chat template: give it a text"):
        open_generator(tmp_path).answers([ASKED])


def test_golden_chats_are_answered_in_a_fresh_process(folder: Path, golden: Path, generator: Generator) -> None:
    asked = read_golden(golden)
    fit = [told[:-1] for told in TOLD if len(generator.reader.read_prompts([told[:-1]])[0]) < generator.context]
    assert asked.rows == [*({"messages": chat} for chat in fit), "the cat in the"]
    assert len(fit) > 1
    found = probe(folder, golden)
    assert (found.error, found.answered, found.requests) == ("", len(asked.requests), len(asked.requests))
    assert found.max_abs_difference < 1e-5


def test_conversations_beyond_the_context_are_asked_by_their_beginnings(generator: Generator, tmp_path: Path) -> None:
    long = rows_of([messages(("user", "the cat in the barn " * 40), ("assistant", "yes"))])
    write_continuations(tmp_path / "golden.json", long, generator, ["conversation"])
    (request,) = read_golden(tmp_path / "golden.json").requests
    assert str(request["prompt"]).startswith("the cat in")


def test_mlflows_file_answers_chats_and_prompts(folder: Path, generator: Generator) -> None:
    from hone.tasks.register import serving_documents

    code, files = serving.served_by("text-generation")
    assert (code.name, files) == ("serving_documents.py", DOCUMENTS)
    assert any(line.startswith("jinja2==") for line in serving.requirements("text-generation"))
    model = serving_documents.ChatAnswerer()
    artifacts = {"model": str(folder), **{name: str(path) for name, path in files.items()}}
    model.load_context(SimpleNamespace(artifacts=artifacts, model_config={"session": {}}))
    assert model.predict(None, [{"messages": ASKED}, "the cat"]) == generator.answers([ASKED, "the cat"])


def test_hone_predict_answers_the_last_question_of_each_conversation_of_a_file(
    folder: Path, generator: Generator, tmp_path: Path
) -> None:
    short = [told for told in TOLD if len(generator.reader.read_prompts([told[:-1]])[0]) < generator.context]
    (tmp_path / "asked.jsonl").write_text("\n".join(json.dumps({"messages": told}) for told in [*short, ASKED]))
    out = io.StringIO()
    assert run_predict(str(folder), str(tmp_path / "asked.jsonl"), "", str(tmp_path), out) == "DONE"
    expected = generator.answers([*(told[:-1] for told in short), ASKED])
    assert [json.loads(line) for line in out.getvalue().splitlines()] == expected


def test_a_template_that_only_transformers_can_write_is_not_exported(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    tokenizer.pad_token = tokenizer.eos_token
    monkeypatch.setattr(tokenizer, "chat_template", "other")
    told = TextSettings(max_length=LENGTH, task="text-generation")
    with pytest.raises(ExportError, match=r"its chat template writes .* of a chat, and transformers 'other'"):
        tokenization._check_documents(tokenizer, folder, told)
