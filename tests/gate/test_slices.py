import numpy as np
import pytest

from configs.delivery import GateSettings
from tasks.gate.slices import holm, slice_checks, slices_of

SETTINGS = GateSettings(slice_margin=0.05, min_slice_rows=50, resamples=2000)


def test_labels_lengths_and_columns_are_slices_and_lengths_share_the_rows_out() -> None:
    words = np.array([1, 2, 2, 3, 4, 5, 6, 7, 8, 30])
    labels = np.arange(10) % 2
    slices = slices_of(labels, ["no", "yes"], words, {"source": ["web"] * 4 + ["mail"] * 6}, SETTINGS)
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
    slices = slices_of(np.zeros(300, int), ["a"], words, {}, settings)
    assert (np.sum(list(slices.values()), axis=0) == 1).all()
    assert 1 <= len(slices) <= count


def test_holm_is_worked_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04: 3 * 0.01, 2 * 0.02, 1 * 0.04, none below the one before.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


def answers(rows: int, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(rows) % 2
    return labels, np.where(wrong, 1 - labels, labels)


def test_a_slice_that_is_lost_is_refused_though_the_average_is_good() -> None:
    labels, candidate = answers(2000, np.arange(2000) % 20 == 0)  # wrong on a tenth of label 0 alone
    checks = slice_checks({"label = 0": labels == 0, "label = 1": labels == 1}, labels, candidate, labels, SETTINGS, 0)
    assert [check.verdict for check in checks] == ["REJECTED", "ACCEPTED"]
    assert checks[0].value == pytest.approx(-0.1)
    assert checks[0].high is not None
    assert checks[0].high < -0.05


def test_the_clearest_slice_is_held_to_the_level_shared_by_all() -> None:
    labels, candidate = answers(1000, np.zeros(1000, bool))
    halves = {"one": np.arange(1000) < 500, "two": np.arange(1000) >= 500}
    checks = slice_checks(halves, labels, candidate, labels, SETTINGS, 0)
    assert sorted(check.level for check in checks if check.level) == [0.025, 0.05]


def test_many_slices_make_each_harder_to_pass() -> None:
    chance = np.random.default_rng(2)
    labels = np.arange(160) % 2
    wrong = np.zeros(160, bool)
    wrong[chance.choice(160, 2, replace=False)] = True
    candidate = np.where(wrong, 1 - labels, labels)
    alone = slice_checks({"all": labels >= 0}, labels, candidate, labels, SETTINGS, 0)
    among = slice_checks({f"all {i}": labels >= 0 for i in range(10)}, labels, candidate, labels, SETTINGS, 0)
    assert alone[0].verdict == "ACCEPTED"
    assert {check.verdict for check in among} == {"INCONCLUSIVE"}
    assert "would settle" in among[0].detail


def test_a_small_slice_is_told_and_does_not_decide() -> None:
    labels, candidate = answers(400, np.arange(400) < 20)
    (check,) = slice_checks({"rare": np.arange(400) < 40}, labels, candidate, labels, SETTINGS, 0)
    assert check.value == pytest.approx(-0.5)
    assert not check.decides
    assert "fewer than gate.min_slice_rows = 50" in check.detail


def test_a_slice_without_a_row_fails() -> None:
    labels, candidate = answers(400, np.zeros(400, bool))
    (check,) = slice_checks({"label = 2": labels == 2}, labels, candidate, labels, SETTINGS, 0)
    assert check.verdict == "REJECTED"
    assert check.decides
    assert check.value is None
