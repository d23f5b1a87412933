"""Records of events: read as they were written, and refused by line and key."""

from pathlib import Path

import pytest

from backtracking.records.events import Event, read_events, write_events
from lifeboat.stage.errors import UserError

EVENT = Event("reasoning", "p0/0", "p0", 14, "over", True, True, 8, 6, 4)


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    events = [EVENT, Event("shuffled", "p1/0", "p1", 9, None, True, False)]
    assert [event.stability for event in events] == [0.5, None]
    assert events[0].decision_id == "p0/0@14"
    write_events(tmp_path / "events.jsonl", events)
    assert read_events(tmp_path / "events.jsonl") == events


def test_an_event_with_other_keys_is_refused_by_line_and_name(tmp_path: Path) -> None:
    write_events(tmp_path / "events.jsonl", [EVENT])
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"trace_id": "p0/0"}\n')
    with pytest.raises(UserError, match=r"line 2.*\n?.*is_keyword|line 2.*role"):
        read_events(tmp_path / "events.jsonl")
