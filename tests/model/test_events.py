"""What rank 0 writes is what the driver hears, once, whatever is killed on the way."""

from pathlib import Path

import pytest

from hone.tasks.model.training import events
from hone.tasks.model.training.events import EventLog, EventTail, curves, read_events
from hone.tasks.model.training.trainable import TrainingEvent


def event(step: int, **values: float) -> TrainingEvent:
    return TrainingEvent(step, 100, values, f"step {step}")


def test_events_read_as_they_were_written(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    said = [event(1, train_loss=0.7), event(2), event(2, validation_accuracy=0.5)]
    for one in said:
        log.append(one)
    assert read_events(tmp_path / "events.jsonl") == said


def test_a_follower_hears_each_event_once(tmp_path: Path) -> None:
    path, heard = tmp_path / "events.jsonl", []
    log, follower = EventLog(path), EventTail(path, heard.append)
    follower.poll()
    log.append(event(1, train_loss=0.7))
    follower.poll()
    follower.poll()
    log.append(event(2, train_loss=0.6))
    follower.poll()
    assert heard == [event(1, train_loss=0.7), event(2, train_loss=0.6)]


def test_a_successor_that_repeats_steps_is_not_heard_twice(tmp_path: Path) -> None:
    path, heard = tmp_path / "events.jsonl", []
    log, follower = EventLog(path), EventTail(path, heard.append)
    for step in (1, 2, 3):
        log.append(event(step, train_loss=step / 10))
    follower.poll()
    log.truncate_after(1)
    follower.poll()
    for step in (2, 3, 4):
        log.append(event(step, train_loss=step / 10))
    follower.poll()
    assert [one.step for one in heard] == [1, 2, 3, 4]
    [curve] = curves(path)
    assert (curve.steps, curve.values) == ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4])


def test_a_follower_reads_what_is_new_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, heard, parsed = tmp_path / "events.jsonl", [], []
    log, follower = EventLog(path), EventTail(path, heard.append)
    read = events._events
    monkeypatch.setattr(events, "_events", lambda lines: (parsed.append(len(lines.encode())), read(lines))[1])
    for step in range(200):
        log.append(event(step, train_loss=0.5))
        follower.poll()
    assert sum(parsed) == path.stat().st_size
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"step": 200, "total_steps": 300, ')
        stream.flush()
        follower.poll()
        stream.write('"values": {"train_loss": 0.25}, "note": "ä"}\n')
    follower.poll()
    other = path.with_name("as a bucket brings it")
    other.write_bytes(path.read_bytes())
    other.replace(path)
    follower.poll()
    assert sum(parsed) == path.stat().st_size
    assert [one.step for one in heard] == list(range(201))


def test_a_half_written_line_is_neither_heard_nor_kept(tmp_path: Path) -> None:
    path, heard = tmp_path / "events.jsonl", []
    log = EventLog(path)
    log.append(event(1, train_loss=0.7))
    with path.open("a") as stream:
        stream.write('{"step": 2, "tot')
    EventTail(path, heard.append).poll()
    log.truncate_after(5)
    log.append(event(3, train_loss=0.5))
    assert heard == [event(1, train_loss=0.7)]
    assert [one.step for one in read_events(path)] == [1, 3]


def test_two_numbers_of_one_step_are_both_heard(tmp_path: Path) -> None:
    path, heard = tmp_path / "events.jsonl", []
    log = EventLog(path)
    log.append(event(1, train_loss=0.7))
    log.append(event(1, validation_accuracy=0.5))
    EventTail(path, heard.append).poll()
    assert [sorted(one.values) for one in heard] == [["train_loss"], ["validation_accuracy"]]
    assert [curve.name for curve in curves(path)] == ["train_loss", "validation_accuracy"]
