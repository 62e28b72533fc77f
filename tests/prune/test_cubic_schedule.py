"""s_t = s_f + (s_i - s_f) * (1 - (t - t_0) / (t_1 - t_0))^3."""

from itertools import pairwise

import pytest

from hone.configs.model import PruneSettings
from hone.tasks.prune.schedule import CubicSchedule, cubic_schedule


def cubic(**settings):
    return PruneSettings(method="magnitude", schedule="cubic", **settings)


def test_the_cubic_schedule_by_hand_at_its_start_middle_and_end():
    schedule = CubicSchedule(initial=0.0, final=0.8, start=10, end=30, every=5)
    assert [schedule.sparsity(step) for step in (0, 9, 10, 20, 30, 99)] == pytest.approx([0, 0, 0, 0.7, 0.8, 0.8])
    begun = CubicSchedule(initial=0.4, final=0.8, start=0, end=20, every=5)
    assert [begun.sparsity(step) for step in (0, 10, 20)] == pytest.approx([0.4, 0.75, 0.8])


def test_sparsity_never_falls_and_rises_less_and_less():
    values = [CubicSchedule(0.1, 0.9, 5, 50, 1).sparsity(step) for step in range(5, 51)]
    rises = [after - before for before, after in pairwise(values)]
    assert all(one > other > 0 for one, other in pairwise(rises))


def test_the_mask_grows_every_so_often_and_at_the_end_in_any_case():
    schedule = CubicSchedule(0.0, 0.5, start=2, end=9, every=3)
    assert [step for step in range(20) if schedule.grows_at(step)] == [2, 5, 8, 9]


@pytest.mark.parametrize("total", [1, 2, 3, 100])
def test_a_step_is_left_after_the_last_mask_however_short_the_training(total):
    schedule = cubic_schedule(cubic(schedule_start=0.9, schedule_end=0.99), total)
    assert 0 <= schedule.start <= schedule.end < total
    assert schedule.grows_at(schedule.end)
    assert schedule.sparsity(schedule.end) == 0.5


def test_start_and_end_are_shares_of_all_steps():
    schedule = cubic_schedule(cubic(schedule_start=0.1, schedule_end=0.75, mask_steps=7), 200)
    assert (schedule.start, schedule.end, schedule.every) == (20, 150, 7)
