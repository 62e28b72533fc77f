"""Runs of words that the test split shares with training are counted, whatever stands around them."""

import random

import pyarrow as pa

from hone.tasks.data.prepare import shared_text
from hone.tasks.objectives.text_generation.ngrams import LENGTH, runs

WORDS = [f"word{index}" for index in range(500)]


def table(texts: list[str]) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.large_string())})


def words(count: int, seed: int) -> list[str]:
    return random.Random(seed).choices(WORDS, k=count)


def brute(train: list[str], test: list[str]) -> tuple[int, int]:
    """Seen runs and all of them, by comparing lists of words."""

    def of(text: str) -> list[tuple[str, ...]]:
        split = text.split()
        return [tuple(split[start : start + LENGTH]) for start in range(len(split) - LENGTH + 1)]

    known = {run for text in train for run in of(text)}
    found = [run for text in test for run in of(text)]
    return sum(run in known for run in found), len(found)


def test_a_run_of_thirteen_words_is_seen_and_one_of_twelve_is_not() -> None:
    copied = words(LENGTH, 1)
    train = [" ".join([*words(20, 2), *copied, *words(20, 3)])]
    found = shared_text(table(train), table([" ".join(["a", *copied, "b"]), " ".join(["c", *copied[:-1], "d"])]))
    assert (found.seen_runs, found.runs) == (1, 3 + 2)
    assert (found.seen_documents, found.documents) == (1, 2)
    assert found.told.startswith("1 of 2 test documents have 13 words in a row that training has (20.0%")


def test_counts_are_those_of_comparing_lists_of_words() -> None:
    pieces = [" ".join(words(30, seed)) for seed in range(20)]
    draw = random.Random(7)
    train, test = ([" ".join(draw.choices(pieces, k=3)) for _ in range(count)] for count in (10, 8))
    test.append("too short")
    found = shared_text(table(train), table(test))
    assert (found.seen_runs, found.runs) == brute(train, test)
    assert 0 < found.seen_runs < found.runs


def test_case_and_punctuation_make_no_other_run_and_another_order_does() -> None:
    text = words(LENGTH, 4)
    plain, shouted = " ".join(text), ", ".join(text).upper() + "!"
    assert runs(plain, {}).tolist() == runs(shouted, {}).tolist()
    assert runs(plain, {}).tolist() != runs(" ".join(reversed(text)), {}).tolist()


def test_no_documents_and_short_ones_share_nothing() -> None:
    found = shared_text(table([]), table(["a b c"]))
    assert (found.runs, found.seen_runs, found.seen_documents) == (0, 0, 0)
    assert "(0.0% of all such runs)" in found.told
