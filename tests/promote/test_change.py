"""Promotion and rollback on a real registry: what moves the champion, what may not, and what is written down."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from hone.tasks import tracking
from hone.tasks.errors import PreflightError, PromotionError, RegistryError
from hone.tasks.promote import change
from hone.tasks.promote.change import promote, records, roll_back
from hone.tasks.tracking import files, server
from tests.promote.conftest import Logged, champion

Model = Callable[..., str]


def steps(name: str) -> list[tuple[str, str, str, str]]:
    return [(one.action, one.from_version, one.to_version, one.outcome) for one in records(name)]


def test_a_promotion_moves_the_champion_and_says_on_what_it_rests(model: Model, shared: Logged) -> None:
    name = model(2)
    before = datetime.now(UTC)
    made = promote(name, "2", "alice")
    assert champion(name) == "2"
    assert records(name) == [made]
    assert (made.number, made.action, made.from_version, made.to_version) == (1, "promote", "", "2")
    assert (made.who, made.verdict, made.outcome, made.reason) == ("alice", "ACCEPTED", "took effect", "")
    assert (made.run_id, made.evidence) == (shared.run_id, shared.tags["hone.evidence"])
    assert before.timestamp() - 1 <= datetime.fromisoformat(made.when).timestamp() <= time.time()


def test_rollbacks_go_back_through_the_champions_and_end_at_the_first(model: Model) -> None:
    name = model(3)
    for version in ("1", "2", "3"):
        promote(name, version, "alice")
    assert roll_back(name, "bob", "too slow").to_version == champion(name) == "2"
    assert roll_back(name, "bob").to_version == champion(name) == "1"
    with pytest.raises(PromotionError, match="version 1 is the first champion, so there is nothing to go back to"):
        roll_back(name, "bob")
    assert steps(name)[3:] == [("rollback", "3", "2", "took effect"), ("rollback", "2", "1", "took effect")]
    assert records(name)[3].reason == "too slow"


def test_promoting_the_champion_changes_nothing(model: Model) -> None:
    name = model()
    made = promote(name, "1", "alice")
    assert promote(name, "1", "bob") == made
    assert records(name) == [made]


@pytest.mark.parametrize("verdict", ["REJECTED", "INCONCLUSIVE", ""])
def test_a_verdict_that_is_not_accepted_needs_a_persons_reason(model: Model, verdict: str) -> None:
    name = model(1, verdict=verdict)
    said = f"the verdict {verdict}" if verdict else "no verdict"
    for nothing in ("", "  "):
        with pytest.raises(PromotionError, match=rf"version 1 has {said}, and only ACCEPTED .* --override REASON"):
            promote(name, "1", "alice", nothing)
    assert (champion(name), records(name)) == ("", [])
    made = promote(name, "1", "alice", "the customer waits")
    assert champion(name) == "1"
    assert (made.verdict, made.reason, made.outcome) == (verdict, "the customer waits", "took effect")


def test_going_back_to_a_version_that_was_refused_needs_a_reason_again(model: Model) -> None:
    name = model(1, verdict="REJECTED")
    model(1)
    promote(name, "1", "alice", "for now")
    promote(name, "2", "alice")
    with pytest.raises(PromotionError, match="--reason REASON"):
        roll_back(name, "bob")
    assert champion(name) == "2"
    assert roll_back(name, "bob", "worse").reason == "worse"
    assert champion(name) == "1"


SERVED = [
    "MLmodel",
    "serving_model.py",
    "runtime.py",
    "requirements.txt",
    "model.onnx",
    "tokenizer.json",
    "config.json",
]


@pytest.mark.parametrize("part", [*SERVED, "serving.json", "session.json", "golden.json", "missing", "added"])
def test_a_file_that_was_changed_since_it_was_judged_is_refused_by_name(
    model: Model, logged: Logged, tmp_path: Path, part: str
) -> None:
    name = model(1)
    promote(name, "1", "alice")
    model(1, logged=logged)
    ran = tmp_path / "ran"
    if part == "added":
        (logged.place / "sitecustomize.py").write_text(f"open({str(ran)!r}, 'w')")
    elif part == "missing":
        (logged.place / "conda.yaml").unlink()
    else:
        (spoilt,) = logged.place.rglob(part)
        # Python's would run, JSON and YAML still say the same, and no answer changes.
        spoilt.write_bytes(
            spoilt.read_bytes() + (f"open({str(ran)!r}, 'w')\n".encode() if part[-3:] == ".py" else b"\n")
        )
    told = {"added": "sitecustomize.py added", "missing": "conda.yaml missing"}.get(part, rf"{part} changed")
    for reason in ("", "never mind"):
        with pytest.raises(
            PromotionError, match=rf"version 2: the files at \S+ are not those that were judged: .*{told}"
        ):
            promote(name, "2", "alice", reason)
    assert champion(name) == "1"
    assert len(records(name)) == 1
    assert not ran.exists()


@pytest.mark.parametrize(
    ("breakage", "message"),
    [("unreadable", "does not load or answer in a fresh process: .*"), ("other weights", "answers [0-4] of 5 golden")],
)
def test_a_model_that_does_not_answer_where_it_will_run_is_refused(
    model: Model, logged: Logged, breakage: str, message: str
) -> None:
    (file,) = logged.place.rglob("model.onnx")
    if breakage == "unreadable":
        file.write_bytes(b"not a graph")
    else:
        graph = onnx.load(file)
        head = next(weight for weight in graph.graph.initializer if weight.name == "head")
        head.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(head), "head"))
        onnx.save(graph, file)
    # Somebody registered it like this, so that its digests are what its tag says.
    name = model(1)
    promote(name, "1", "alice")
    model(1, logged=logged, files=files.to_tag(files.digests_of(logged.place))[files.TAG])
    with pytest.raises(PromotionError, match=message):
        promote(name, "2", "alice", "never mind")
    assert champion(name) == "1"
    assert len(records(name)) == 1


def test_what_was_registered_without_its_evidence_cannot_be_promoted(model: Model) -> None:
    name = model(1, files="")
    with pytest.raises(PromotionError, match=r"has no tag hone.files, so nothing shows .* register it again"):
        promote(name, "1", "alice", "never mind")


def test_files_that_are_gone_are_told(model: Model, logged: Logged) -> None:
    name = model(1, logged=logged)
    logged.place.rename(logged.place.with_name("elsewhere"))
    with pytest.raises(
        PromotionError, match=f"{name} version 1: the files at models:/m-.* judged: MLmodel, .* missing"
    ):
        promote(name, "1", "alice")


def test_what_is_not_there_is_refused_by_name(model: Model, storage: Path) -> None:
    name = model(1)
    for version in ("2", "0", "latest", "one"):
        with pytest.raises(PreflightError, match=rf"has no version '{version}': give the number of one"):
            promote(name, version, "alice")
    for ask in (
        lambda: promote("nobody", "1", "alice"),
        lambda: roll_back("nobody", "alice"),
        lambda: records("nobody"),
    ):
        with pytest.raises(PreflightError, match=r"has no registered model 'nobody'; there: "):
            ask()
    with pytest.raises(PromotionError, match="there never was a champion"):
        roll_back(name, "alice")


def test_a_rollback_to_a_version_that_was_deleted_is_refused(model: Model) -> None:
    name = model(2)
    promote(name, "1", "alice")
    promote(name, "2", "alice")
    server.client().delete_model_version(name, "1")
    with pytest.raises(PromotionError, match="version 1, which was deleted from the registry: promote another one"):
        roll_back(name, "alice")
    assert champion(name) == "2"


RACER = """
import sys, time
from pathlib import Path
from hone.tasks import tracking
from hone.tasks.errors import PromotionError
from hone.tasks.promote import change

storage, room, name, version = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
tracking.configure(storage)
validate = change._validate

def validate_together(wanted):
    # Both have seen the champion by now, and neither has written yet.
    (room / version).touch()
    deadline = time.monotonic() + 60
    while len(list(room.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    validate(wanted)

change._validate = validate_together
try:
    change.promote(name, version, f"process {version}")
except PromotionError as error:
    sys.exit(str(error))
"""


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(model: Model, storage: Path, tmp_path: Path) -> None:
    name = model(3)
    promote(name, "1", "alice")
    room = tmp_path / "room"
    room.mkdir()
    command = [sys.executable, "-c", RACER, str(storage), str(room), name]
    racers = {
        version: subprocess.Popen([*command, version], stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        for version in ("2", "3")
    }
    said = {version: racer.communicate(timeout=400)[1] for version, racer in racers.items()}
    codes = {version: racer.returncode for version, racer in racers.items()}
    assert sorted(codes.values()) == [0, 1], said
    winner, loser = sorted(codes, key=lambda version: codes[version])
    assert champion(name) == winner
    assert f"version {winner} became the champion meanwhile" in said[loser]
    assert f"by process {winner}), so version {loser} did not" in said[loser]
    assert steps(name) == [
        ("promote", "", "1", "took effect"),
        ("promote", "1", winner, "took effect"),
        ("promote", "1", loser, "lost"),
    ]


def test_entries_written_at_once_get_a_number_each(model: Model, storage: Path) -> None:
    name = model()
    with ThreadPoolExecutor(4, initializer=tracking.configure, initargs=(storage,)) as pool:
        numbers = list(pool.map(lambda place: tracking.append_change(name, {"writer": str(place)}), range(12)))
    assert sorted(numbers) == list(range(1, 13))
    assert {number: tags["writer"] for number, tags in tracking.changes(name).items()} == {
        number: str(place) for place, number in enumerate(numbers)
    }


def test_an_entry_that_was_sent_twice_counts_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the first answer was lost on its way, and the client sends it again."""
    name, client = model(), server.client()
    create = client.create_model_version

    def twice(*given: object, **named: object) -> object:
        create(*given, **named)
        return create(*given, **named)

    monkeypatch.setattr(client, "create_model_version", twice)
    made = promote(name, "1", "alice")
    assert (made.number, made.outcome) == (1, "took effect")
    assert records(name) == [made]


def test_a_move_outside_hone_is_shown_at_once_and_recorded_by_the_next_change(model: Model) -> None:
    name = model(3)
    promote(name, "1", "alice")
    tracking.set_alias(name, "champion", "2")
    assert steps(name)[1:] == [("outside", "1", "2", "took effect")]
    assert len(tracking.changes(name)) == 1
    promote(name, "3", "bob")
    assert steps(name)[1:] == [("outside", "1", "2", "took effect"), ("promote", "2", "3", "took effect")]
    noticed = records(name)[1]
    assert (noticed.who, noticed.reason) == ("unknown", "the alias was moved outside Hone; noticed by bob")
    assert roll_back(name, "bob").to_version == "2"


def test_a_move_outside_hone_is_recorded_by_the_next_run_once(model: Model) -> None:
    name = model(2)
    assert change.reconcile(name, "bob") == []
    promote(name, "1", "alice")
    assert change.reconcile(name, "bob") == []
    tracking.set_alias(name, "champion", "2")
    (noticed,) = change.reconcile(name, "bob")
    assert (noticed.action, noticed.from_version, noticed.to_version) == ("outside", "1", "2")
    assert noticed.reason == "the alias was moved outside Hone; noticed by bob"
    assert change.reconcile(name, "bob") == []
    assert len(tracking.changes(name)) == 2
    assert champion(name) == "2"


def test_there_is_nothing_to_reconcile_of_a_model_that_does_not_exist(storage: Path) -> None:
    assert change.reconcile("nobody-yet", "bob") == []


def test_a_refusal_is_in_the_history_and_the_champion_stays(model: Model) -> None:
    name = model(2)
    promote(name, "1", "alice")
    refused = change.refuse(name, "2", "bob", "too slow")
    assert records(name)[1:] == [refused]
    assert (refused.who, refused.reason, refused.verdict, refused.outcome) == ("bob", "too slow", "ACCEPTED", "refused")
    assert champion(name) == "1"
    assert promote(name, "2", "carol", "it is not").number == 3
    assert steps(name)[1:] == [("refuse", "1", "2", "refused"), ("promote", "1", "2", "took effect")]
    assert roll_back(name, "carol").to_version == "1"


def test_an_alias_that_somebody_removed_is_shown_and_can_be_restored(model: Model) -> None:
    name = model()
    promote(name, "1", "alice")
    server.client().delete_registered_model_alias(name, "champion")
    assert steps(name)[1:] == [("outside", "1", "", "took effect")]
    assert roll_back(name, "alice").to_version == champion(name) == "1"


def test_a_champion_from_before_the_history_is_where_it_begins(model: Model) -> None:
    name = model(2)
    tracking.set_alias(name, "champion", "1")
    promote(name, "2", "alice")
    assert steps(name) == [("outside", "", "1", "took effect"), ("promote", "1", "2", "took effect")]
    assert roll_back(name, "alice").to_version == "1"


def test_a_move_outside_hone_during_a_promotion_comes_first(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    name = model(3)
    promote(name, "1", "alice")
    monkeypatch.setattr(change, "_validate", lambda wanted: tracking.set_alias(name, "champion", "3"))
    with pytest.raises(PromotionError, match=r"version 3 became the champion meanwhile \(entry 2, by unknown\)"):
        promote(name, "2", "bob")
    assert champion(name) == "3"
    assert [one[3] for one in steps(name)] == ["took effect", "took effect", "lost"]


def begin(name: str, version: str) -> int:
    """The entry of a promotion of which nothing more is heard."""
    made = records(name)[-1]
    entry = made.model_copy(update={"from_version": made.to_version, "to_version": version, "who": "carol"})
    return tracking.append_change(name, change.history.to_tags(entry))


def test_a_promotion_that_died_before_the_alias_moved_is_told_and_stands_in_nobodys_way(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = model(3)
    promote(name, "1", "alice")
    begin(name, "2")
    assert steps(name)[1:] == [("promote", "1", "2", "under way")]
    monkeypatch.setattr(change, "PATIENCE_SECONDS", 0.3)
    promote(name, "3", "bob")
    assert champion(name) == "3"
    assert steps(name)[1:] == [
        ("promote", "1", "2", "interrupted"),
        ("outside", "2", "1", "took effect"),
        ("promote", "1", "3", "took effect"),
    ]
    assert records(name)[2].reason == "entry 2 (promote 1 -> 2) was interrupted before the alias moved; noticed by bob"
    assert roll_back(name, "bob").to_version == "1"


def test_a_promotion_that_died_after_the_alias_moved_took_effect(model: Model) -> None:
    name = model(3)
    promote(name, "1", "alice")
    begin(name, "2")
    tracking.set_alias(name, "champion", "2")
    promote(name, "3", "bob")
    assert steps(name)[1:] == [("promote", "1", "2", "took effect"), ("promote", "2", "3", "took effect")]


def test_a_promotion_that_is_under_way_is_waited_for(model: Model) -> None:
    name = model(3)
    promote(name, "1", "alice")
    number = begin(name, "2")

    def finish() -> None:
        tracking.set_alias(name, "champion", "2")
        tracking.mark_change(name, number, {"hone.done": "now"})

    later = threading.Timer(0.5, copy_context().run, [finish])  # with this run's records
    later.start()
    promote(name, "3", "bob")
    later.join()
    assert steps(name)[1:] == [("promote", "1", "2", "took effect"), ("promote", "2", "3", "took effect")]


def test_a_model_that_has_the_name_of_the_history_is_left_alone(model: Model) -> None:
    name = model()
    server.client().create_registered_model(f"{name}.history")
    with pytest.raises(RegistryError, match=rf"called '{name}.history', where Hone keeps the history .* rename it"):
        promote(name, "1", "alice")
    assert champion(name) == ""
    assert tracking.changes(name) == {}
