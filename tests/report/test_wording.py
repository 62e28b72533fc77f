import pytest

from hone.tasks.report import wording


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
        (-0.0042, "points", "−0.42 points"),
        (0.0612, "points", "+6.12 points"),
        (-0.00001, "points", "0.00 points"),
        (-0.0312, "relative", "−3.12%"),
        (181_000_000, "bytes", "181 MB"),
        (0.214, "s", "0.214 s"),
        (1, "nodes", "1 node"),
        (0, "nodes", "0 nodes"),
        (0.0, "share", "0.00%"),
        (None, "x", "not measured"),
    ],
)
def test_values_carry_their_unit(value, unit, text):
    assert wording.measured(value, unit) == text


def test_a_check_that_is_not_known_by_name_is_still_readable():
    check = {"name": "p95_at_1x32", "direction": "at_most", "threshold": 5.0, "unit": "ms"}
    assert wording.check_name(check) == "P95 at 1x32"
    assert wording.check_demand(check) == "at most 5 ms"


@pytest.mark.parametrize(
    ("name", "subject", "said"),
    [
        ("accuracy_difference", "teacher", "Accuracy against the teacher's"),
        ("macro_f1_difference", "champion", "Macro F1 against the champion's"),
        ("accuracy_difference", "teacher, typos", "Accuracy with typos, against the teacher's"),
        ("p95", "1×32", "95th percentile of the latency at 1×32"),
        ("required_provider", "cuda", "Nodes on CUDA, the required provider"),
        ("parity", "quantized, pytorch → fake-quantised", "Parity of quantized, pytorch → fake-quantised"),
        ("parity", "", "Parity"),
        ("slice", "label = negative", "Slice label = negative"),
        ("entity_f1_above_baseline", "teacher", "The teacher's entity f1 better than the baseline's"),
    ],
)
def test_a_check_is_named_with_what_it_is_about(name, subject, said):
    assert wording.check_name({"name": name, "subject": subject}) == said


@pytest.mark.parametrize(
    ("name", "unit", "direction", "threshold", "said"),
    [
        ("accuracy_difference", "points", "above", -0.02, "no more than 2.00 points below"),
        ("accuracy_above_baseline", "points", "above", 0.0, "above 0 points"),
        ("rmse_difference", "relative", "above", -0.05, "no more than 5.00% worse"),
        ("kappa_difference", "", "above", -0.02, "no more than 0.02 below"),
        ("error_difference", "°C", "above", -0.5, "no more than 0.5 °C below"),
        ("kappa_above_baseline", "", "above", -0.0, "above 0"),
        ("speedup", "x", "at_least", 1e-6, "at least 1e-06×"),
        ("speedup", "x", "at_least", 4, "at least 4.00×"),
        ("speedup", "x", "at_least", 2000, "at least 2,000.00×"),
        ("serves", "share", "at_least", 1.0, "all of them"),
        ("fallback_nodes", "nodes", "at_most", 1, "at most 1 node"),
        ("parity", "", "at_most", 0.001, "logits at most 0.001 apart"),
        ("parity", "share", "at_least", 0.9, "at least 90.00% of the labels the same"),
        ("parity", "share", "at_most", 0.05, "at most 5.00% of the logits' spread apart"),
    ],
)
def test_a_demand_is_said_in_its_unit(name, unit, direction, threshold, said):
    check = {"name": name, "unit": unit, "direction": direction, "threshold": threshold}
    assert wording.check_demand(check) == said


def test_the_bound_is_the_end_of_the_interval_that_decides():
    check = {"unit": "ms", "low": 0.4, "high": 0.61, "level": 0.05}
    assert wording.check_bound({**check, "direction": "at_most"}) == "upper bound 0.61 ms at level 5%"
    assert wording.check_bound({**check, "direction": "at_least"}) == "lower bound 0.4 ms at level 5%"
    assert wording.check_bound({**check, "direction": "at_least", "verdict": "REJECTED"}).startswith("upper bound 0.61")
    assert wording.check_bound({**check, "direction": "at_most", "verdict": "REJECTED"}).startswith("lower bound 0.4")
    assert wording.check_bound({**check, "direction": "at_least", "level": 0.05 / 6}).endswith("at level 0.83%")
    assert wording.check_bound({"direction": "at_least", "low": None, "high": None, "level": None}) == ""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(-0.0042, "points", "−0.42"), (-0.0042, "", "−0.0042"), (0.31, "°C", "+0.31"), (-0.0, "", "0"), (None, "", "–")],
)
def test_a_difference_has_its_sign_in_any_unit(value, unit, text):
    assert wording.change(value, unit) == text


def test_a_factor_that_says_only_that_it_is_far_is_not_told_to_the_digit():
    assert [wording.factor(value) for value in (8.694, 1.8e40, 3e-17)] == ["8.69×", "over 1,000×", "under 0.01×"]


def test_a_provider_has_one_name_however_it_is_written():
    assert wording.provider("CUDAExecutionProvider") == wording.provider("cuda") == "CUDA"
    assert wording.provider("AnotherExecutionProvider") == "AnotherExecutionProvider"
