"""`hone init` writes a recipe whose data `hone check` accepts, and says what it assumed."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from hone.configs.recipe import load_recipe
from hone.flows.__main__ import app
from hone.flows.preflight import check_data
from hone.tasks.data.columns import ROWS
from hone.tasks.data.preview import preview
from tests import tiny
from tests.objectives.chats import conversations
from tests.objectives.questions import rows_of, write_squad


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["init", *arguments])


def rows(count: int = 60) -> list[str]:
    return [f"{text},{label}" for text, label in tiny.sentences(count, seed=1)]


def written(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.name


def test_the_recipe_names_columns_labels_and_length_and_its_data_are_accepted(
    init: Callable[..., Result], tmp_path: Path
) -> None:
    done = init(written(tmp_path / "tickets.csv", ["subject,queue,id", *(f"{row},x7" for row in rows())]))
    assert done.exit_code == 0, done.output
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.name, recipe.data.train) == ("tickets", "tickets.csv")
    assert (recipe.data.text_column, recipe.data.label_column) == ("subject", "queue")
    assert recipe.data.label_names == ["bad", "good"]
    assert (recipe.model.source, recipe.model.max_length) == ("sentence-transformers/all-MiniLM-L6-v2", 32)
    assert preview(recipe.data).rows == {"train": 60}
    for told in ("tickets.csv: 60 rows", "2 labels: ", "wrote recipe.yaml; next: hone check recipe.yaml"):
        assert told in done.stdout


def test_a_file_without_a_header_gets_names_for_its_columns(init: Callable[..., Result], tmp_path: Path) -> None:
    assert init(written(tmp_path / "train.csv", rows()), "--model", "package:a/b", "--output", "b.yaml").exit_code == 0
    recipe = load_recipe(tmp_path / "b.yaml")
    assert (recipe.data.header, recipe.data.columns) == (False, ["text", "label"])
    assert recipe.model.source == "package:a/b"
    assert recipe.name == tmp_path.name.strip("_")[:100]  # `train` is no name for a model
    assert preview(recipe.data).rows == {"train": 60}


def test_odd_values_come_back_as_they_are(init: Callable[..., Result], tmp_path: Path) -> None:
    lines = [f"{text},{'yes: #1' if label == 'good' else 'no'}" for text, label in tiny.sentences(60, seed=1)]
    assert init(written(tmp_path / "a b.csv", ["#text: ä,on", *lines])).exit_code == 0
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.name, recipe.data.train) == ("a-b", "a b.csv")
    assert (recipe.data.text_column, recipe.data.label_column) == ("#text: ä", "on")
    assert recipe.data.label_names == ["no", "yes: #1"]


def test_a_few_rows_that_cannot_be_used_are_left_out_and_told(init: Callable[..., Result], tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", ["text,label", *rows(), "no label,", "too,many,fields"])
    done = init(file)
    assert done.exit_code == 0, done.output
    assert load_recipe(tmp_path / "recipe.yaml").data.max_bad_fraction == 0.04  # 2 of 62
    assert "1 wrong field count (first at train:63), 1 missing label (first at train:62)" in done.stdout
    done = init(written(tmp_path / "a.csv", ["text,label", *rows(), *["too,many,fields"] * 30]), "--force")
    assert done.exit_code == 2
    assert "30 of 90 rows (33.33%) are unusable" in done.stderr


def test_the_labels_of_a_long_file_that_is_sorted_by_them_are_found(
    init: Callable[..., Result], tmp_path: Path
) -> None:
    lines = [f"text {place},{'a' if place < ROWS + 100 else 'b'}" for place in range(ROWS + 200)]
    done = init(written(tmp_path / "a.csv", ["note,kind", *lines]))
    assert done.exit_code == 0, done.output
    assert load_recipe(tmp_path / "recipe.yaml").data.label_column == "kind"
    assert f"2 labels: a ({ROWS + 100:,}), b (100)" in done.stdout
    assert "label_names" not in done.stdout  # check itself sees the first rows alone


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["text,id", *(f"{text},x{place}" for place, (text, _) in enumerate(tiny.sentences(60, 1)))],
         "id: 60 different values"),
        (["text,label", *rows(), "a text,rare"], "rare has 1"),
    ],
)  # fmt: skip
def test_what_check_would_refuse_is_not_written(
    init: Callable[..., Result], tmp_path: Path, lines: list[str], told: str
) -> None:
    done = init(written(tmp_path / "a.csv", lines))
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "recipe.yaml").exists()


def test_a_recipe_that_is_there_is_replaced_by_force_alone(init: Callable[..., Result], tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", ["text,label", *rows()])
    (tmp_path / "recipe.yaml").write_text("mine")
    done = init(file)
    assert done.exit_code == 2
    assert "recipe.yaml: it is there already: name another by --output, or replace it with --force" in done.stderr
    assert (tmp_path / "recipe.yaml").read_text() == "mine"
    assert init(file, "--force").exit_code == 0
    assert load_recipe(tmp_path / "recipe.yaml").name == "a"
    assert "there is no folder gone: make it" in init(file, "--output", "gone/a.yaml").stderr
    assert "a folder: name the recipe's file" in init(file, "--output", ".").stderr


SENTENCES = [(text.split(), ["O"] * (len(text.split()) - 1) + [f"B-{label}"]) for text, label in tiny.sentences(60, 1)]
CONLL = [line for words, tags in SENTENCES for line in [*map(" NN ".join, zip(words, tags, strict=True)), ""]]


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_conversations_are_a_recipe_for_a_language_model(
    init: Callable[..., Result], tmp_path: Path, ending: str
) -> None:
    told = [{"messages": one} for one in conversations(60)]
    file = tmp_path / f"chats.{ending}"
    if ending == "parquet":
        parquet.write_table(pa.Table.from_pylist(told), file)
    else:
        file.write_text(json.dumps(told) if ending == "json" else "\n".join(map(json.dumps, told)))
    done = init(file.name)
    assert done.exit_code == 0, done.output
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.task, recipe.data.messages_column, recipe.data.prompt_column) == ("text-generation", "messages", "")
    assert (recipe.model.source, recipe.model.max_length) == ("HuggingFaceTB/SmolLM2-135M-Instruct", 128)
    assert check_data(recipe)[0] == "37 train, 10 validation, 12 test conversations"
    for line in (f"{file.name}: 60 conversations", "they alone are learned", "one whose tokenizer has a chat template"):
        assert line in done.stdout


def test_prompts_with_completions_are_too(init: Callable[..., Result], tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": f"{n} + {n} = ", "completion": str(2 * n)}) for n in range(60)]
    done = init(written(tmp_path / "sums.jsonl", rows), "--model", "some/decoder")
    assert done.exit_code == 0, done.output
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.data.prompt_column, recipe.data.completion_column) == ("prompt", "completion")
    assert recipe.model.source == "some/decoder"
    assert check_data(recipe)[0].endswith("test conversations")


@pytest.mark.parametrize("name", ["news.conll", "news.txt"])
def test_words_with_tags_at_the_ends_of_lines_are_a_recipe_for_entities(
    init: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    done = init(written(tmp_path / name, CONLL))
    assert done.exit_code == 0, done.output
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.name, recipe.task, recipe.data.train) == ("news", "token-classification", name)
    assert (recipe.data.format, recipe.data.tokens_column) == ("auto" if name.endswith("conll") else "conll", "tokens")
    assert recipe.model.max_length == 32
    assert check_data(recipe)[0] == "47 train, 6 validation, 7 test sentences, 2 types of entities"
    for told in (
        f"{name}: 60 sentences",
        "the first column of the file",
        "2 types of entities, in IOB2: ",
        "longer ones are read in several parts",
        "wrote recipe.yaml; next: hone check recipe.yaml",
    ):
        assert told in done.stdout


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_lists_of_words_and_of_tags_are_found_whatever_they_are_called(
    init: Callable[..., Result], tmp_path: Path, ending: str
) -> None:
    rows = [
        {"id": place, "pieces": words, "chunks": ["B-X"] * len(words), "ner_tags": tags, "topics": ["a"]}
        for place, (words, tags) in enumerate(SENTENCES)
    ]
    file = tmp_path / f"news.{ending}"
    if ending == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), file)
    done = init(file.name)
    assert done.exit_code == 0, done.output
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.data.tokens_column, recipe.data.tags_column) == ("pieces", "ner_tags")
    assert check_data(recipe)[0].endswith("7 test sentences, 2 types of entities")
    assert "also possible: chunks, by --label COLUMN" in done.stdout
    assert init(file.name, "--label", "chunks", "--force").exit_code == 0
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.data.tokens_column, recipe.data.tags_column) == ("pieces", "chunks")


def test_lists_of_numbers_are_no_tags_unless_they_are_called_so(init: Callable[..., Result], tmp_path: Path) -> None:
    names = ["O", "B-bad", "B-good"]
    rows = [
        {"text": " ".join(words), "label": tags[-1], "words": words, "ids": [names.index(tag) for tag in tags]}
        for words, tags in SENTENCES
    ]
    file = tmp_path / "news.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert init(file.name).exit_code == 0
    assert load_recipe(tmp_path / "recipe.yaml").data.text_column == "text"
    assert load_recipe(tmp_path / "recipe.yaml").task == "text-classification"
    done = init(file.name, "--label", "ids", "--force")
    assert done.exit_code == 2
    assert "train has tags that are numbers without a name, 0, 2, 1: set data.label_names" in done.stderr


def test_a_sentence_that_cannot_be_used_is_left_out_and_columns_without_names_are_not_named(
    init: Callable[..., Result], tmp_path: Path
) -> None:
    file = written(tmp_path / "news.conll", [*CONLL, "Ann NN", "left NN O", ""])
    done = init(file)
    assert done.exit_code == 0, done.output
    assert load_recipe(tmp_path / "recipe.yaml").data.max_bad_fraction == 0.02  # 1 of 61
    assert "1 wrong field count (first at train:" in done.stdout
    done = init(file, "--text", "word", "--force")
    assert done.exit_code == 2
    assert "those of a CoNLL file have no names: the first is the word, the last its tag" in done.stderr


@pytest.mark.parametrize("table", [False, True])
def test_questions_with_contexts_are_told_by_their_file(
    init: Callable[..., Result], tmp_path: Path, table: bool
) -> None:
    file = write_squad(tmp_path / "films.json", 40)
    if table:
        rows_told = [json.dumps({**row, "answers": [one["text"] for one in row["answers"]],
                                 "start": [one["answer_start"] for one in row["answers"]]})
                     for row in rows_of(file)]  # fmt: skip
        file.rename(tmp_path / "other")
        written(tmp_path / "films.jsonl", rows_told)
    done = init("films.jsonl" if table else "films.json")
    assert done.exit_code == 0, done.output
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.task, recipe.data.context_column) == ("question-answering", "context")
    assert recipe.data.start_column == ("start" if table else "")
    assert recipe.model.max_length == 64
    assert check_data(recipe)[0].endswith(" questions, 52 with answer, 28 with no answer")
    assert "80 questions" in done.stdout
    if table:  # where a person names a label, it is looked for: both questions are asked about each text
        done = init("films.jsonl", "--label", "question", "--text", "context", "--force")
        assert "too few different texts of a label" in done.stderr
