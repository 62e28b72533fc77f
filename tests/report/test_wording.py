import pytest

from tasks.report import wording


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "–"),
        (None, "–"),
        (512, "512 B"),
        (1500, "1.50 kB"),
        (8_312_233, "8.31 MB"),
        (91_012_233, "91.0 MB"),
        (438_000_000, "438 MB"),
        (1_340_000_000, "1.34 GB"),
    ],
)
def test_bytes_have_three_digits(size_bytes, text):
    assert wording.size(size_bytes) == text


@pytest.mark.parametrize(("number", "text"), [(812, "812"), (30_522, "30.5 k"), (22_713_986, "22.7 M"), (None, "–")])
def test_counts_have_three_digits(number, text):
    assert wording.count(number) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0412, "0.041"), (0.67, "0.67"), (5.4, "5.40"), (17.8, "17.8"), (641.2, "641"), (None, "–")]
)
def test_milliseconds_have_three_digits(value, text):
    assert wording.milliseconds(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (42.4, "42 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations_are_as_exact_as_anyone_needs(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.9863, "share", "98.63%"),
        (8.691, "x", "8.69×"),
        (12.34567, "ms", "12.35 ms"),
        (3, "", "3"),
        (None, "x", "not measured"),
    ],
)
def test_values_carry_their_unit(value, unit, text):
    assert wording.measured(value, unit) == text


def test_a_check_that_is_not_known_by_name_is_still_readable():
    check = {"name": "p95_at_1x32", "direction": "at_most", "threshold": 5.0, "unit": "ms"}
    assert wording.check_name(check) == "P95 at 1x32"
    assert wording.check_demand(check) == "at most 5 ms"


def test_a_phrase_in_a_sentence_starts_small_unless_it_is_an_abbreviation():
    assert wording.within_sentence("Accuracy kept") == "accuracy kept"
    assert wording.within_sentence("TF-IDF") == "TF-IDF"
