"""Conversations and prompts with completions: read out of every format, and counted where they cannot be learned."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from hone.configs.applies import hidden
from hone.configs.data import DataSettings
from hone.configs.recipe import RecipeError, parse_recipe
from hone.tasks.data.clean import Unusable
from hone.tasks.data.conversations import messages_of, up_to_last_answer, with_completion
from hone.tasks.data.prepare import Prepared, prepare
from hone.tasks.data.preview import preview
from hone.tasks.data.source import open_source
from hone.tasks.errors import DataError
from hone.tasks.message import Message
from hone.tasks.model.text import Rows, read_split
from tests.objectives.chats import conversations, pair, write_conversations

CHATS = conversations(40)
PAIRS = [{"prompt": f"{n} and {n} is ", "completion": f" {n + n}\r\n"} for n in range(40)]


def prepared(settings: DataSettings, folder: Path) -> Prepared:
    return prepare(open_source(settings), settings, 0, folder)


def all_rows(folder: Path) -> list[Rows]:
    return [read_split(folder, split) for split in ("train", "validation", "test")]


def all_messages(folder: Path) -> list[list[Message]]:
    return sorted(one for rows in all_rows(folder) for one in rows.messages or [])


def expected() -> list[list[Message]]:
    return sorted(
        [[Message(one["role"], one["content"], one["role"] == "assistant") for one in told] for told in CHATS]
    )


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_jsonl_json_parquet_and_a_dataset_hold_the_same_conversations(tmp_path: Path) -> None:
    write_conversations(tmp_path / "a.jsonl", 40)
    (tmp_path / "a.json").write_text(json.dumps([{"messages": told} for told in CHATS]))
    parquet.write_table(pa.Table.from_pylist([{"messages": told} for told in CHATS]), tmp_path / "a.parquet")
    datasets.Dataset.from_list([{"messages": told} for told in CHATS]).save_to_disk(str(tmp_path / "saved"))
    several = [DataSettings(train=str(tmp_path / f"a.{end}"), messages_column="messages") for end in
               ("jsonl", "json", "parquet")]  # fmt: skip
    several.append(DataSettings(source="saved", dataset=str(tmp_path / "saved"), messages_column="messages"))
    made = [prepared(one, tmp_path / str(place)) for place, one in enumerate(several)]
    assert len({one.content_digest for one in made}) == 1
    assert (made[0].labels, made[0].target, sum(made[0].rows.values())) == (["conversation"], "messages", 40)
    assert made[0].shared_text is not None
    for place in range(len(several)):
        assert all_messages(tmp_path / str(place)) == expected()


def test_prompts_and_completions_stay_as_they_are_but_for_their_line_ends(tmp_path: Path) -> None:
    settings = DataSettings(train=str(jsonl(tmp_path / "a.jsonl", PAIRS)), prompt_column="prompt")
    table = tmp_path / "b.csv"
    table.write_text("asked,said\n" + "".join(f'"{n} and {n} is "," {n + n}\r\n"\n' for n in range(40)), newline="")
    other = DataSettings(train=str(table), prompt_column="asked", completion_column="said")
    digests = [prepared(one, tmp_path / name).content_digest for name, one in (("a", settings), ("b", other))]
    assert digests[0] == digests[1]
    assert all_messages(tmp_path / "a") == sorted(pair(f"{n} and {n} is ", f" {n + n}\n") for n in range(40))


def test_of_a_prompt_and_a_completion_that_are_lists_the_completion_alone_is_learned() -> None:
    asked = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    found = with_completion(asked, [{"role": "assistant", "content": "d"}])
    assert [(one.content, one.learned) for one in found] == [("a", False), ("b", False), ("c", False), ("d", True)]
    with pytest.raises(Unusable, match="not_messages"):
        with_completion(asked, "d")


def test_what_nobody_answers_is_left_out() -> None:
    found = messages_of([*CHATS[0], {"role": "user", "content": "and?"}])
    assert up_to_last_answer(found) == messages_of(CHATS[0])


def test_what_cannot_be_learned_is_counted_by_kind(tmp_path: Path) -> None:
    user, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    rows: list[Any] = [
        [user],
        [user, {"role": "assistant", "content": " "}],
        [user, {"role": "tool", "content": "x"}, answer],
        [user, {"role": "assistant", "content": "x", "tool_calls": [{"name": "f"}]}],
        "user: a",
        [{"from": "human", "value": "a"}],
        [user, {"role": "assistant", "content": ["b"]}],
        None,
        CHATS[3],
        [*CHATS[5], user],
    ]
    file = jsonl(tmp_path / "a.jsonl", [{"messages": told} for told in [*CHATS, *rows]])
    made = prepared(DataSettings(train=str(file), messages_column="messages", max_bad_fraction=0.2), tmp_path / "data")
    assert {bad.kind: bad.count for bad in made.bad_rows} == {
        "no_answer": 2,
        "unknown_role": 2,
        "not_messages": 2,
        "wrong_type": 1,
        "empty_text": 1,
        "duplicate_text": 2,
        "unanswered_end": 1,
    }
    assert all_messages(tmp_path / "data") == expected()
    with pytest.raises(DataError, match=r"unknown_role .a message of another role than system, user and assistant"):
        prepared(DataSettings(train=str(file), messages_column="messages"), tmp_path / "other")


def test_a_system_message_makes_no_other_conversation_and_no_shared_text(tmp_path: Path) -> None:
    system = {"role": "system", "content": " ".join(f"word{n}" for n in range(20))}
    told = [[system, *({**one, "content": f"{one['content']} {n}"} for one in CHATS[0])] for n in range(40)]
    file = jsonl(tmp_path / "a.jsonl", [{"messages": one} for one in [*told, told[0][1:]]])
    made = prepared(DataSettings(train=str(file), messages_column="messages"), tmp_path / "data")
    assert [(bad.kind, bad.count) for bad in made.bad_rows] == [("duplicate_text", 1)]
    assert made.shared_text is not None
    assert made.shared_text.seen_runs < made.shared_text.runs


def test_a_look_at_conversations_calls_them_so(tmp_path: Path) -> None:
    seen = preview(DataSettings(train=str(write_conversations(tmp_path / "a.jsonl", 40)), messages_column="messages"))
    assert (seen.what, seen.documents, sum(seen.splits.values())) == ("conversations", True, 40)
    assert seen.messages is not None
    assert len(seen.messages) == len(seen.texts)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"messages_column": "m", "lowercase": True}, "data.lowercase is True: conversations are learned as they are"),
        ({"messages_column": "m", "prompt_column": "p"}, "data.messages_column is 'm' and data.prompt_column is 'p'"),
        ({"document_column": "d", "prompt_column": "p"}, "data.document_column is 'd' and data.prompt_column is 'p'"),
        ({"prompt_column": "p", "context_column": "c"}, "data.context_column is 'c'"),
        (
            {"prompt_column": "p", "source": "docstrings", "libraries": ["json"]},
            "'docstrings', in which nobody answers",
        ),
    ],
)
def test_settings_that_are_not_for_conversations_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DataSettings(train="a.jsonl", **given)


def test_files_that_hold_no_messages_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("messages\na\n")
    with pytest.raises(DataError, match="csv holds no lists of messages: use jsonl, json, parquet"):
        open_source(DataSettings(train=str(tmp_path / "a.csv"), messages_column="messages"))
    file = jsonl(tmp_path / "a.jsonl", PAIRS)
    with pytest.raises(DataError, match=r"no column 'messages'.*Set data.messages_column"):
        prepared(DataSettings(train=str(file), messages_column="messages"), tmp_path / "data")
    with pytest.raises(DataError, match=r"no column 'said'.*Set data.prompt_column, data.completion_column"):
        prepared(DataSettings(train=str(file), prompt_column="prompt", completion_column="said"), tmp_path / "data")
    for content, said in (("[1]", "not a list of objects, each of them a row"), ('{"a": 1}\n{"a": 2}', "jsonl")):
        (tmp_path / "b.json").write_text(content)
        with pytest.raises(DataError, match=said):
            prepared(DataSettings(train=str(tmp_path / "b.json"), messages_column="m"), tmp_path / "data")


def test_a_recipe_takes_documents_or_conversations_and_shows_their_settings_alone() -> None:
    tree: dict[str, Any] = {"model": {"source": "m"}, "data": {"train": "a", "messages_column": "messages"}}
    recipe = parse_recipe(tree | {"task": "text-generation"})
    names = {"messages_column", "prompt_column", "completion_column"}
    assert not names & hidden(recipe)["data"]
    assert names <= hidden(parse_recipe({"model": {"source": "m"}, "data": {"train": "a"}}))["data"]
    with pytest.raises(RecipeError, match=r"data.messages_column is 'messages' but task is 'text-classification'"):
        parse_recipe(tree)
    with pytest.raises(
        RecipeError, match=r"data.document_column is empty.*, or data.messages_column to that with conv"
    ):
        parse_recipe({"model": {"source": "m"}, "data": {"train": "a"}, "task": "text-generation"})
