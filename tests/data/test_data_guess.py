"""Which column is the text and which the label: a guess by names and by what stands in them."""

import random

import pytest

from hone.configs.data import DataSettings
from hone.tasks.data.columns import Columns
from hone.tasks.data.guess import estimated_tokens, guess_columns, label_problem
from hone.tasks.errors import DataError

COUNT = 60
DRAW = random.Random(0)
TEXTS = [f"text number {place} is {'long ' * (place % 7)}enough" for place in range(COUNT)]
CLASSES = [str(place % 3) for place in range(COUNT)]
PRICES = [f"{DRAW.random():.6f}" for _ in range(COUNT)]
IDS = [f"{DRAW.getrandbits(64):016x}" for _ in range(COUNT)]


def columns(**values: list[str]) -> Columns:
    return Columns(DataSettings(train="a.csv"), values, COUNT, complete=True)


def test_columns_are_told_by_what_stands_in_them_when_their_names_say_nothing() -> None:
    found = guess_columns(columns(a=IDS, b=CLASSES, c=TEXTS, d=PRICES))
    assert (found.text, found.label, found.pair) == ("c", "b", "")
    assert found.labels == {"0": 20, "1": 20, "2": 20}


def test_names_decide_between_columns_that_are_alike_and_the_others_are_told() -> None:
    found = guess_columns(columns(region=CLASSES, Label=CLASSES, note=TEXTS, Text=TEXTS))
    assert (found.text, found.label) == ("Text", "Label")
    assert (found.other_labels, found.other_texts) == (["region"], ["note"])


def test_words_are_likelier_labels_than_numbers_and_few_than_many() -> None:
    words = [["north", "south", "east"][place % 3] for place in range(COUNT)]
    found = guess_columns(columns(few=["a", "b"] * 30, words=words, priority=["1", "2"] * 30, text=TEXTS))
    assert (found.label, found.other_labels) == ("few", ["words", "priority"])


def test_two_texts_are_a_pair_by_their_names_alone() -> None:
    assert guess_columns(columns(premise=TEXTS, hypothesis=TEXTS, label=CLASSES)).pair == "hypothesis"
    assert guess_columns(columns(title=TEXTS, body=TEXTS, label=CLASSES)).pair == ""


def test_what_a_person_names_is_taken() -> None:
    found = guess_columns(columns(text=TEXTS, label=CLASSES, other=TEXTS, kind=CLASSES), text="other", label="kind")
    assert (found.text, found.label) == ("other", "kind")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1"] * COUNT, "one value in all rows, '1'"),
        (PRICES, "60 different numbers, from 0"),
        ([str(1990 + place % 30) for place in range(COUNT)], "30 different numbers, from 1990 to 2019"),
        (IDS, "60 different values in 60 rows"),
        ([f"text {place}" for place in range(COUNT)], "60 different values in 60 rows"),
        (["text of more than six words it is", "and so is this one here too"] * 30, "texts"),
        (["2026-01-01", "2026-01-02"] * 30, "dates"),
        ([""] * 30 + ["a", "b"] * 15, "empty in 50% of the rows"),
        (CLASSES, ""),
        (["yes", "no"] * 30, ""),
        (["0.5", "1", "1.5"] * 20, ""),
        ([str(place) for place in range(25)] * 4, ""),
    ],
)
def test_what_is_no_label(values: list[str], told: str) -> None:
    assert label_problem(values).startswith(told)
    assert bool(label_problem(values)) == bool(told)


@pytest.mark.parametrize(
    ("values", "options", "told"),
    [
        ({"text": TEXTS, "id": IDS}, {}, r"(?s)no column looks like a label:.*id: 60 different.*by --label"),
        ({"id": IDS, "label": CLASSES}, {"text": "body"}, "no column 'body'; there are 'id', 'label'"),
        ({"price": PRICES, "label": CLASSES}, {}, "no column besides the label, 'label', looks like text .'price'"),
        ({"text": TEXTS, "label": CLASSES}, {"text": "label", "label": "label"}, "--text and --label are both 'label'"),
    ],
)
def test_where_nothing_fits_each_column_is_told_why(
    values: dict[str, list[str]], options: dict[str, str], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        guess_columns(columns(**values), **options)


def test_the_length_holds_ninety_nine_of_a_hundred_texts() -> None:
    texts = ["one two three"] * (COUNT - 1) + ["word " * 100]
    assert guess_columns(columns(text=texts, label=CLASSES)).max_length == 128  # of 60, the longest is among the 99 %
    assert guess_columns(columns(text=TEXTS, label=CLASSES)).max_length == 16
    pairs = guess_columns(columns(text=TEXTS, pair=TEXTS, label=CLASSES))
    assert (pairs.pair, pairs.max_length) == ("pair", 32)


def test_tokens_are_estimated_from_above_in_any_script() -> None:
    assert estimated_tokens("It isn't uncharacteristic.") == 1 + 3 + 3 + 1
    assert estimated_tokens("语言模型") == 4


def test_numbers_are_predicted_where_no_column_is_a_label_and_a_count_of_the_rows_is_no_number() -> None:
    found = guess_columns(columns(text=TEXTS, row=[str(place + 1000) for place in range(COUNT)], price=PRICES))
    assert (found.label, found.kind, found.labels) == ("price", "number", {})
    assert found.range == (min(map(float, PRICES)), max(map(float, PRICES)))
    assert guess_columns(columns(text=TEXTS, label=CLASSES, price=PRICES)).label == "label"
    assert guess_columns(columns(text=TEXTS, label=CLASSES, price=PRICES), label="price").kind == "number"


@pytest.mark.parametrize("separator", [";", "|", ","])
def test_several_labels_are_told_by_parts_that_come_back(separator: str) -> None:
    combined = [["red", f"red{separator}blue", f"blue{separator}green", f"green{separator}red{separator}blue"][n % 4]
                for n in range(COUNT)]  # fmt: skip
    found = guess_columns(columns(text=TEXTS, tags=combined))
    assert (found.label, found.kind, found.separator) == ("tags", "several", separator)
    assert found.labels == {"blue": 45, "red": 45, "green": 30}
    places = [["Paris, France", "Lyon, France", "Rome, Italy"][place % 3] for place in range(COUNT)]
    assert guess_columns(columns(text=TEXTS, city=places)).kind == "one"


def test_a_column_of_lists_is_several_labels_before_one_whose_name_says_nothing() -> None:
    lists = {"labels": [["red"], ["red", "blue"], []] * 20, "tokens": [TEXTS[place].split() for place in range(COUNT)]}
    found = guess_columns(Columns(DataSettings(train="a.jsonl"), {"text": TEXTS, "part": CLASSES}, COUNT, True, lists))
    assert (found.label, found.kind, found.separator) == ("labels", "several", "")
    assert found.labels == {"red": 40, "blue": 20}
    assert found.other_labels == ["tokens", "part"]
