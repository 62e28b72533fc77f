import numpy as np
import pytest

from hone.configs.delivery import GateSettings
from hone.tasks.contracts import Check
from hone.tasks.gate.advice import RowSource
from hone.tasks.gate.decision import decide
from hone.tasks.gate.slices import slice_checks, slices_of
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.text_classification.metrics import METRICS, statistics_of

SETTINGS = GateSettings(slice_margin=0.05, min_slice_rows=50, resamples=2000)


def test_labels_lengths_and_columns_are_slices_and_lengths_share_the_rows_out() -> None:
    words = np.array([1, 2, 2, 3, 4, 5, 6, 7, 8, 30])
    labels = np.arange(10) % 2
    by_label = judging("text-classification").slices(labels, ["no", "yes"])
    slices = slices_of(by_label, words, {"source": ["web"] * 4 + ["mail"] * 6}, SETTINGS)
    assert {name: int(rows.sum()) for name, rows in slices.items()} == {
        "label = no": 5,
        "label = yes": 5,
        "length = 1–3 words": 4,
        "length = 4–6 words": 3,
        "length = 7–30 words": 3,
        "source = mail": 6,
        "source = web": 4,
    }


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_row_has_one_length(count: int) -> None:
    words = np.random.default_rng(0).integers(1, 12, 300)
    settings = GateSettings(slice_labels=False, slice_lengths=count)
    slices = slices_of({}, words, {}, settings)
    assert (np.sum(list(slices.values()), axis=0) == 1).all()
    assert 1 <= len(slices) <= count


def answers(rows: int, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(rows) % 2
    return labels, np.where(wrong, 1 - labels, labels)


def judge(slices: dict[str, np.ndarray], labels: np.ndarray, candidate: np.ndarray) -> list[Check]:
    """The slices, against a reference that is always right."""
    rows = RowSource(rows=len(labels), total=10 * len(labels), fraction=0.1)
    pair = (statistics_of(labels, answers, 2) for answers in (candidate, labels))
    return decide(slice_checks(slices, *pair, METRICS["accuracy"], SETTINGS, 0, rows), SETTINGS.level)


def test_a_slice_that_is_lost_is_refused_though_the_average_is_good() -> None:
    labels, candidate = answers(2000, np.arange(2000) % 20 == 0)  # wrong on a tenth of label 0 alone
    checks = judge({"label = 0": labels == 0, "label = 1": labels == 1}, labels, candidate)
    assert [check.verdict for check in checks] == ["REJECTED", "ACCEPTED"]
    assert checks[0].value == pytest.approx(-0.1)
    assert checks[0].high is not None
    assert checks[0].high < -0.05


def test_many_slices_make_none_harder_to_pass_and_each_harder_to_refuse() -> None:
    labels, good = answers(160, np.arange(160) % 80 == 0)
    bad = np.where(np.arange(160) % 12 == 0, 1 - labels, labels)
    everything = labels >= 0
    for candidate, alone, among in ((good, "ACCEPTED", "ACCEPTED"), (bad, "REJECTED", "INCONCLUSIVE")):
        (one,) = judge({"all": everything}, labels, candidate)
        many = judge({f"all {i}": everything for i in range(10)}, labels, candidate)
        assert (one.verdict, {check.verdict for check in many}) == (alone, {among}), one


def test_an_open_slice_says_how_many_test_rows_it_takes_and_what_to_set() -> None:
    labels, candidate = answers(400, np.arange(400) % 40 == 0)
    (check,) = judge({"half": np.arange(400) < 200}, labels, candidate)
    assert check.verdict == "INCONCLUSIVE"
    assert "80% chance" in check.detail
    needed = int(check.detail.split("about ")[1].split(" would")[0].replace(",", ""))
    assert needed > 200
    # A slice of half of the test rows needs twice its rows in the whole split, of 4,000 in all.
    assert f"set data.test_fraction: {np.ceil(100 * 2 * needed / 4000) / 100:g}, which is 0.1 now" in check.detail
    assert "or set gate.slice_margin: 0.0" in check.detail


def test_a_small_slice_is_told_and_does_not_decide() -> None:
    labels, candidate = answers(400, np.arange(400) < 20)
    (check,) = judge({"rare": np.arange(400) < 40}, labels, candidate)
    assert check.value == pytest.approx(-0.5)
    assert not check.decides
    assert "fewer than gate.min_slice_rows = 50" in check.detail


def test_a_slice_without_a_row_fails() -> None:
    labels, candidate = answers(400, np.zeros(400, bool))
    (check,) = judge({"label = 2": labels == 2}, labels, candidate)
    assert check.verdict == "REJECTED"
    assert check.decides
    assert check.value is None
