"""Layers go one by one, by what the loss becomes without them; the first and the last stay."""

import pytest

from hone.configs.model import PruneSettings
from hone.tasks.prune.depth import greedy, is_greedy
from tests.prune import decoders, encoders


def table(losses: dict[tuple[int, ...], float]):
    return lambda kept: losses[tuple(kept)]


def test_what_is_left_is_weighed_again_each_time_one_goes_by_hand() -> None:
    """2 and 3 do the same: either may go, and not both."""
    losses = {
        (0, 2, 3, 4): 1.5, (0, 1, 3, 4): 1.2, (0, 1, 2, 4): 1.1,
        (0, 2, 4): 1.7, (0, 1, 4): 9.0,
    }  # fmt: skip
    assert greedy(5, 4, table(losses)) == [0, 1, 2, 4]
    assert greedy(5, 3, table(losses)) == [0, 2, 4]


def test_the_first_and_the_last_stay_whatever_is_asked_for() -> None:
    asked = []
    assert greedy(4, 1, lambda kept: asked.append(kept) or 0.0) == [0, 3]
    assert all(kept[0] == 0 and kept[-1] == 3 for kept in asked)
    assert greedy(2, 1, table({})) == [0, 1]
    assert greedy(1, 1, table({})) == [0]


def test_of_equals_the_later_goes() -> None:
    assert greedy(4, 3, lambda kept: 1.0) == [0, 1, 3]


@pytest.mark.parametrize(("choice", "decoder", "encoder"), [("auto", 1, 0), ("loss", 1, 1), ("gradient", 0, 0)])
def test_decoders_go_by_the_loss_unless_the_recipe_says_otherwise(choice: str, decoder: int, encoder: int) -> None:
    settings = PruneSettings(layer_choice=choice)
    assert is_greedy(decoders.tiny("llama", layers=1), settings) == decoder
    assert is_greedy(encoders.tiny("bert"), settings) == encoder
