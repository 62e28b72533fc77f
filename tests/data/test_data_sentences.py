"""Preparation of sentences with tags: from files to splits on disk."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.configs.data import DataSettings
from hone.configs.recipe import RecipeError, parse_recipe
from hone.tasks.data.prepare import Prepared, prepare
from hone.tasks.data.preview import preview
from hone.tasks.data.source import open_source
from hone.tasks.errors import DataError
from hone.tasks.model.text import read_split
from hone.tasks.objectives.token_classification.tags import from_iob2

Sentence = tuple[list[str], list[str]]


def sentences(count: int = 120) -> list[Sentence]:
    """Distinct sentences with entities of three types, one of them rare, and some without any."""
    rng = random.Random(0)
    kinds = [("Ann Lee", "per"), ("Bern", "loc"), ("U N O", "org")]
    found = []
    for place in range(count):
        words, tags = [f"w{place}", "met"], ["O", "O"]
        for name, kind in kinds[: 3 if place < 8 else 2]:
            if place < 8 or rng.random() < 0.5:
                parts = name.split()
                words += [*parts, "."]
                tags += [f"B-{kind}", *[f"I-{kind}"] * (len(parts) - 1), "O"]
        found.append((words, tags))
    return found


def write(path: Path, rows: list[Sentence], names: list[str] | None = None) -> str:
    """The sentences as the ending says; with `names`, tags as their places there."""
    ids = [[names.index(tag) for tag in tags] for _words, tags in rows] if names else [tags for _words, tags in rows]
    if path.suffix == ".conll":
        path.write_text("".join("".join(map("{}\t{}\n".format, *row)) + "\n" for row in rows))
    elif path.suffix == ".jsonl":
        lines = zip(rows, ids, strict=True)
        path.write_text("".join(json.dumps({"tokens": words, "tags": tags}) + "\n" for (words, _), tags in lines))
    else:
        features = {"tags": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}}
        table = pa.table({"tokens": [words for words, _tags in rows], "tags": ids})
        told = {"huggingface": json.dumps({"info": {"features": features}})}
        parquet.write_table(table.replace_schema_metadata(told if names else None), path)
    return str(path)


def run(folder: Path, seed: int = 0, **settings: Any) -> Prepared:
    chosen = DataSettings(tokens_column="tokens", **settings)
    return prepare(open_source(chosen), chosen, seed, folder)


def written(folder: Path, split: str, labels: list[str]) -> list[Sentence]:
    table = parquet.read_table(folder / f"{split}.parquet")
    return [
        (row["tokens"], [labels[tag] for tag in row["tags"]]) for row in table.select(["tokens", "tags"]).to_pylist()
    ]


def test_what_is_written_is_words_and_tags_beside_what_texts_have(tmp_path: Path) -> None:
    rows = sentences()
    prepared = run(tmp_path / "out", train=write(tmp_path / "a.conll", rows))
    assert prepared.labels == ["O", "B-loc", "I-loc", "B-org", "I-org", "B-per", "I-per"]
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == prepared.labels
    assert sum(prepared.rows.values()) == len(rows)
    assert min(prepared.rows.values()) > 5
    schema = parquet.read_schema(tmp_path / "out" / "test.parquet")
    assert schema.names == ["text", "pair", "label", "slices", "tokens", "tags"]
    assert schema.field("tags").type == pa.list_(pa.int32())
    found = [row for split in prepared.rows for row in written(tmp_path / "out", split, prepared.labels)]
    assert sorted(found) == sorted(rows)
    split = read_split(tmp_path / "out", "test")
    assert split.texts == [" ".join(words) for words, _tags in written(tmp_path / "out", "test", prepared.labels)]
    assert set(split.labels.tolist()) == {-1}
    assert split.tokens
    assert split.tags
    assert [
        (words, [prepared.labels[tag] for tag in tags]) for words, tags in zip(split.tokens, split.tags, strict=True)
    ] == written(tmp_path / "out", "test", prepared.labels)
    last = split.pick([-1 % len(split), 0])
    assert last.tokens == [split.tokens[-1], split.tokens[0]]
    assert last.tags
    assert [tags.tolist() for tags in last.tags] == [split.tags[-1].tolist(), split.tags[0].tolist()]


def test_each_format_order_and_scheme_gives_the_same_files(tmp_path: Path) -> None:
    rows, names = sentences(), ["I-per", "O", "B-org", "B-per", "I-org", "B-loc"]
    shuffled = random.Random(0).sample(rows, len(rows))
    files = {
        write(tmp_path / "a.conll", rows): {},
        write(tmp_path / "a.jsonl", shuffled): {},
        write(tmp_path / "a.parquet", rows): {},
        write(tmp_path / "ids.parquet", rows, names): {},
        write(tmp_path / "ids.jsonl", rows, names): {"label_names": names},
    }
    for scheme in ("IOB1", "IOBES", "BILOU"):
        files[write(tmp_path / f"{scheme}.conll", [(words, from_iob2(tags, scheme)) for words, tags in rows])] = {}
    digests = {run(tmp_path / "out", train=file, **more).content_digest for file, more in files.items()}
    assert len(digests) == 1
    other = [(words, ["O"] * len(words)) if place == 50 else (words, tags) for place, (words, tags) in enumerate(rows)]
    assert run(tmp_path / "out", train=write(tmp_path / "b.conll", other)).content_digest not in digests


def test_each_type_of_entity_is_in_training_and_in_the_test(tmp_path: Path) -> None:
    train = write(tmp_path / "a.conll", sentences())
    for seed in range(5):
        prepared = run(tmp_path / "out", seed, train=train)
        for split in ("train", "test"):
            tags = {tag for _words, tags in written(tmp_path / "out", split, prepared.labels) for tag in tags}
            assert {"B-per", "B-loc", "B-org"} <= tags


def test_a_sentence_is_in_one_split_however_it_is_cased_or_cut_into_words(tmp_path: Path) -> None:
    rows = [*sentences(), (["W3", "met", "ann", "lee", "."], ["O"] * 5), (["w119 met"], ["O"])]
    rows[3], rows[119] = (
        (["w3", "met", "Ann", "Lee", "."], ["O", "O", "B-per", "I-per", "O"]),
        (["w119", "met"], ["O"] * 2),
    )
    test = write(tmp_path / "b.jsonl", [rows[3], rows[119]])
    prepared = run(tmp_path / "out", train=write(tmp_path / "a.jsonl", rows), test=test)
    assert {kind.kind: kind.lines for kind in prepared.bad_rows} == {
        "split_overlap": ["train:4", "train:120", "train:121", "train:122"]
    }


def test_of_one_sentence_with_several_tags_the_most_frequent_ones_are_kept(tmp_path: Path) -> None:
    words = ["Bern", "met"]
    rows = [*sentences(), (words, ["O", "O"]), (words, ["B-loc", "O"]), (words, ["B-loc", "O"])]
    prepared = run(tmp_path / "out", train=write(tmp_path / "a.jsonl", rows))
    assert {kind.kind: kind.lines for kind in prepared.bad_rows} == {
        "duplicate_text": ["train:123"],
        "contradicting_label": ["train:121"],
    }
    found = [row for split in prepared.rows for row in written(tmp_path / "out", split, prepared.labels)]
    assert (words, ["B-loc", "O"]) in found


def test_sentences_whose_tags_cannot_be_are_counted_by_kind(tmp_path: Path) -> None:
    rows = sentences()
    for place, tags in ((5, ["O", "I-per"]), (6, ["B-per", "I-loc"]), (7, ["X-per", "O"]), (8, ["per", "O"])):
        rows[place] = ([f"w{place}", "x"], tags)
    test = write(tmp_path / "b.conll", [(["a"], ["B-ship"]), (["Bern"], ["B-loc"])])
    prepared = run(tmp_path / "out", train=write(tmp_path / "a.jsonl", rows), test=test, max_bad_fraction=0.06)
    assert {kind.kind: (kind.lines, kind.detail) for kind in prepared.bad_rows} == {
        "unknown_label": (["test:1"], "test has 'ship' (1), and training 'loc', 'org', 'per'"),
        "unknown_prefix": (["train:8", "train:9"], "train has 'X-per' (1), 'per' (1), and its scheme is IOB2"),
        "stray_inside": (["train:6", "train:7"], ""),
    }
    assert prepared.rows["test"] == 1


def test_rows_that_are_no_sentences_are_counted_by_kind(tmp_path: Path) -> None:
    bad = [
        {"tokens": ["a"], "tags": ["O", "O"]},
        {"tokens": "a", "tags": ["O"]},
        {"tokens": ["a", " "], "tags": ["O", "O"]},
        {"tokens": ["a"]},
        {"tokens": [], "tags": []},
        {"tokens": ["a"], "tags": [None]},
    ]
    path = tmp_path / "a.jsonl"
    write(path, sentences())
    path.write_text(path.read_text() + "".join(json.dumps(row) + "\n" for row in bad))
    prepared = run(tmp_path / "out", train=str(path), max_bad_fraction=0.05)
    assert {kind.kind: kind.lines for kind in prepared.bad_rows} == {
        "length_mismatch": ["train:121"],
        "wrong_type": ["train:122"],
        "empty_text": ["train:123"],
        "missing_label": ["train:124", "train:126"],
        "empty_sentence": ["train:125"],
    }


def test_numbers_without_names_and_data_without_entities_are_refused(tmp_path: Path) -> None:
    names = ["O", "B-loc", "B-org", "I-org", "B-per", "I-per"]
    numbers = write(tmp_path / "a.jsonl", sentences(), names)
    with pytest.raises(DataError, match=r"tags that are numbers without a name, .*: set data.label_names"):
        run(tmp_path / "out", train=numbers)
    with pytest.raises(DataError, match=r"has tags with names of their own, O"):
        run(tmp_path / "out", train=write(tmp_path / "b.conll", sentences()), label_names=names)
    with pytest.raises(DataError, match="the training split has no entity"):
        run(tmp_path / "out", train=write(tmp_path / "c.conll", [([f"w{place}"], ["O"]) for place in range(9)]))
    with pytest.raises(DataError, match=r"no column 'tags'; .*Set data.tokens_column, data.tags_column and"):
        run(tmp_path / "out", train=write(tmp_path / "d.jsonl", []) and _texts(tmp_path / "d.jsonl"))


def _texts(path: Path) -> str:
    path.write_text('{"tokens": ["a"], "label": 1}\n')
    return str(path)


def test_a_look_at_sentences_counts_entities_by_type(tmp_path: Path) -> None:
    rows = sentences()
    seen = preview(DataSettings(train=write(tmp_path / "a.conll", rows), tokens_column="tokens"))
    assert seen.labels == {
        kind: sum(tags.count(f"B-{kind}") for _words, tags in rows) for kind in ("loc", "org", "per")
    }
    assert seen.rows == {"train": 120}
    assert sum(seen.splits.values()) == 120
    assert seen.complete
    part = preview(DataSettings(train=str(tmp_path / "a.conll"), tokens_column="tokens"), rows=50)
    assert (part.rows, part.complete, part.splits) == ({"train": 50}, False, {})


def test_at_most_so_many_sentences_of_each_rarest_type_are_kept(tmp_path: Path) -> None:
    prepared = run(tmp_path / "out", train=write(tmp_path / "a.conll", sentences()), max_rows_per_label=8)
    assert 3 * 8 < sum(prepared.rows.values()) <= 4 * 8


def test_a_recipe_for_texts_takes_no_sentences() -> None:
    with pytest.raises(RecipeError, match=r"data\.tokens_column is 'tokens' but task is 'text-classification'"):
        parse_recipe({"data": {"train": "a.conll", "tokens_column": "tokens"}, "model": {"source": "x"}})


def test_tags_need_the_column_with_their_words() -> None:
    tree = {"task": "token-classification", "data": {"train": "a.csv"}, "model": {"source": "x"}}
    with pytest.raises(RecipeError, match=r"task is 'token-classification' but data\.tokens_column is empty"):
        parse_recipe(tree)
    assert parse_recipe({**tree, "data": {"train": "a.jsonl", "tokens_column": "tokens"}}).data.tags_column == "tags"
