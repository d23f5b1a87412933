import json
from pathlib import Path

from lifeboat.running import stage_seconds


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def test_the_last_time_of_every_stage_is_kept_over_runs(tmp_path: Path) -> None:
    stage_seconds.add(tmp_path, {"traces": 10.0, "extract@base": 20.0})
    stage_seconds.add(tmp_path, {"traces": 12.0})
    stage_seconds.add(tmp_path, {})
    assert stage_seconds.known(tmp_path) == {"extract@base": 20.0, "traces": 12.0}


def test_a_stage_that_was_interrupted_counts_once_it_is_finished_and_in_full(
    tmp_path: Path,
) -> None:
    stage_seconds.add(tmp_path, {"traces": 10.0, "steer": 100.0}, cut="steer")
    stage_seconds.add(tmp_path, {"steer": 50.0}, cut="steer")
    assert stage_seconds.known(tmp_path) == {"traces": 10.0}
    stage_seconds.add(tmp_path, {"steer": 5.0})
    assert stage_seconds.known(tmp_path)["steer"] == 155.0
    stage_seconds.add(tmp_path, {"steer": 150.0})
    assert stage_seconds.known(tmp_path)["steer"] == 150.0


def test_a_new_machine_knows_what_the_newest_snapshot_says_and_what_it_ran_itself(
    tmp_path: Path,
) -> None:
    write(tmp_path / "runs" / "20260101_000000" / "stage_seconds.json", {"lens": 1.0})
    write(tmp_path / "runs" / "20260102_000000" / "stage_seconds.json", {"lens": 2.0, "probe": 3})
    stage_seconds.add(tmp_path, {"probe": 4.0})
    assert stage_seconds.known(tmp_path) == {"lens": 2.0, "probe": 4.0}


def test_a_file_that_is_no_table_of_seconds_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "20260101_000000" / "stage_seconds.json"
    for value in ([1], {"a": "x", "b": True, "c": -1, "d": None}, "text"):
        write(path, value)
        assert stage_seconds.known(tmp_path) == {}
    path.write_text("{")
    assert stage_seconds.known(tmp_path) == {}
