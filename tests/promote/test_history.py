"""The laws of the log: who wins, what a rollback restores, and what is explained as a move outside Hone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hone.tasks.contracts import PromotionRecord
from hone.tasks.promote.history import DONE, History, replay, to_tags, unrecorded

NOW = "2026-11-21T12:00:00.000+00:00"


def entry(action: str, before: str, after: str, done: bool = True) -> dict[str, str]:
    record = PromotionRecord.model_validate(
        {
            "number": 1,
            "name": "m",
            "action": action,
            "from_version": before,
            "to_version": after,
            "when": NOW,
            "who": "me",
        }
    )
    return to_tags(record) | ({DONE: NOW} if done else {})


def log(*entries: dict[str, str]) -> History:
    return replay("m", dict(enumerate(entries, 1)))


def promoted(*versions: str) -> list[dict[str, str]]:
    return [entry("promote", before, after) for before, after in zip(("", *versions), versions, strict=False)]


def outcomes(history: History) -> list[str]:
    return [record.outcome for record in history.records]


versions = st.sampled_from(["", "1", "2", "3"])
entries = st.lists(
    st.builds(entry, st.sampled_from(["promote", "rollback", "outside"]), versions, versions, st.booleans()),
    max_size=12,
)


def test_a_model_without_a_log_has_no_champion() -> None:
    assert log() == History([], ("",), None)
    assert (log().champion, log().previous, log().under_way) == ("", "", None)


def test_promotions_in_turn_all_take_effect_and_the_last_is_the_champion() -> None:
    found = log(*promoted("1", "2", "3"))
    assert outcomes(found) == ["took effect"] * 3
    assert (found.champion, found.previous) == ("3", "2")


def test_of_two_who_saw_the_same_champion_the_first_wins_and_the_second_is_lost() -> None:
    found = log(*promoted("1"), entry("promote", "1", "2"), entry("promote", "1", "3", done=False))
    assert outcomes(found) == ["took effect", "took effect", "lost"]
    assert found.champion == "2"


def test_who_promotes_what_won_meanwhile_is_lost_too() -> None:
    assert outcomes(log(entry("promote", "", "2"), entry("promote", "", "2"))) == ["took effect", "lost"]


@given(others=st.lists(st.sampled_from(["2", "3", "4"]), min_size=1, max_size=8))
def test_of_any_number_who_saw_the_same_champion_exactly_one_wins(others: list[str]) -> None:
    found = log(*promoted("1"), *(entry("promote", "1", other) for other in others))
    assert outcomes(found)[1:] == ["took effect", *["lost"] * (len(others) - 1)]
    assert found.champion == others[0]


@given(entries)
def test_each_change_that_takes_effect_begins_where_the_one_before_ended(all_: list[dict[str, str]]) -> None:
    found = log(*all_)
    effective = [record for record in found.records if record.outcome != "lost"]
    assert [record.from_version for record in effective] == ["", *(record.to_version for record in effective)][:-1]
    assert found.champion == (effective[-1].to_version if effective else "")


@given(entries)
def test_nothing_that_comes_later_changes_who_won(all_: list[dict[str, str]]) -> None:
    whole = [outcome == "lost" for outcome in outcomes(log(*all_))]
    for length in range(len(all_)):
        assert [outcome == "lost" for outcome in outcomes(log(*all_[:length]))] == whole[:length]


@given(entries)
def test_a_rollback_never_restores_the_champion_or_nothing(all_: list[dict[str, str]]) -> None:
    found = log(*all_)
    assert found.previous == "" or found.previous != found.champion
    assert found.undo_stack[-1] == found.champion


def test_a_rollback_goes_back_one_step_and_another_one_further() -> None:
    done = promoted("1", "2", "3")
    restored = []
    while log(*done).previous:
        now = log(*done)
        done.append(entry("rollback", now.champion, now.previous))
        restored.append(now.previous)
    assert restored == ["2", "1"]
    assert log(*done).champion == "1"


def test_a_promotion_after_a_rollback_goes_back_to_what_it_replaced() -> None:
    found = log(*promoted("1", "2", "3"), entry("rollback", "3", "2"), entry("promote", "2", "4"))
    assert found.previous == "2"
    assert log(*promoted("1", "2", "1")).previous == "2"


def test_a_rollback_passes_over_the_time_without_a_champion() -> None:
    removed = [*promoted("1", "2"), entry("outside", "2", "")]
    assert log(*removed).previous == "2"
    assert log(*removed, entry("promote", "", "2")).previous == "1"


def test_a_move_outside_hone_can_be_rolled_back() -> None:
    found = log(*promoted("1", "2"), entry("outside", "2", "3"))
    assert (found.champion, found.previous) == ("3", "2")


def test_a_change_that_was_interrupted_was_never_the_champion() -> None:
    found = log(*promoted("1", "2"), entry("promote", "2", "3", done=False), entry("outside", "3", "2"))
    assert outcomes(found) == ["took effect", "took effect", "interrupted", "took effect"]
    assert (found.champion, found.previous) == ("2", "1")


def test_an_interrupted_rollback_is_still_to_be_made() -> None:
    found = log(*promoted("1", "2"), entry("rollback", "2", "1", done=False), entry("outside", "1", "2"))
    assert (found.champion, found.previous) == ("2", "1")


def test_the_last_change_is_under_way_until_it_is_done() -> None:
    begun = log(*promoted("1"), entry("promote", "1", "2", done=False))
    assert begun.under_way == begun.records[1]
    assert log(*promoted("1", "2")).under_way is None


def test_a_version_that_somebody_put_into_the_log_is_no_entry() -> None:
    found = replay("m", {1: entry("promote", "", "1"), 2: {"team": "blue"}, 3: entry("promote", "1", "2")})
    assert [record.number for record in found.records] == [1, 3]
    assert found.champion == "2"


def test_an_entry_says_all_that_was_written() -> None:
    fields: dict[str, Any] = {
        "name": "m",
        "action": "promote",
        "from_version": "1",
        "to_version": "2",
        "when": NOW,
        "who": "me",
        "run_id": "abc",
        "verdict": "REJECTED",
        "evidence": "e",
        "reason": "because",
    }
    written = to_tags(PromotionRecord.model_validate(fields | {"number": 1}))
    read = replay("m", {1: entry("promote", "", "1"), 7: written | {DONE: NOW}}).records[-1]
    assert read == PromotionRecord.model_validate(fields | {"number": 7, "outcome": "took effect"})


@pytest.mark.parametrize(
    ("written", "alias", "reason"),
    [
        ([], "1", "the alias was there before the history began"),
        (promoted("1"), "2", "the alias was moved outside Hone"),
        (promoted("1"), "", "the alias was removed outside Hone"),
        (
            [*promoted("1"), entry("promote", "1", "2", done=False)],
            "1",
            "entry 2 (promote 1 -> 2) was interrupted before the alias moved",
        ),
    ],
)
def test_an_alias_that_is_elsewhere_is_explained(written: list[dict[str, str]], alias: str, reason: str) -> None:
    history = log(*written)
    found = unrecorded("m", history, alias, NOW)
    assert found is not None
    assert (found.action, found.from_version, found.to_version) == ("outside", history.champion, alias)
    assert (found.number, found.reason) == (len(written) + 1, reason)
    assert log(*written, to_tags(found) | {DONE: NOW}).champion == alias


@given(entries, versions, versions, st.integers(0, 12))
def test_a_refusal_is_told_and_changes_nothing(all_: list[dict[str, str]], before: str, up: str, place: int) -> None:
    refused = [*all_[:place], entry("refuse", before, up, done=False), *all_[place:]]
    with_it, without = log(*refused), log(*all_)
    assert with_it.records[min(place, len(all_))].outcome == "refused"
    assert [outcome for outcome in outcomes(with_it) if outcome != "refused"] == outcomes(without)
    assert (with_it.champion, with_it.previous) == (without.champion, without.previous)


def test_an_alias_that_is_where_it_should_be_needs_no_explanation() -> None:
    assert unrecorded("m", log(), "", NOW) is None
    assert unrecorded("m", log(*promoted("1", "2")), "2", NOW) is None
