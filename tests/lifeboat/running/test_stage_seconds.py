import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lifeboat.running import stage_seconds

SMALL, LARGE = "model: small\nn: 2\n", "model: large\nn: 2\n"


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def of_study(path: Path, params: str, **seconds: float) -> None:
    """A table of a study, as a snapshot of it has one."""
    root = path.parents[2]
    before = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(params)
    path.parent.mkdir(parents=True, exist_ok=True)
    stage_seconds.write(path, seconds, stage_seconds.study(root))
    (root / "params.yaml").write_text(before)


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


def newest_of_two(root: Path) -> None:
    of_study(root / "runs" / "20260101_000000" / "stage_seconds.json", SMALL, lens=1.0)
    of_study(root / "runs" / "20260102_000000" / "stage_seconds.json", SMALL, lens=2.0, probe=3)
    stage_seconds.add(root, {"probe": 4.0})


def another_study_since(root: Path) -> None:
    of_study(root / "runs" / "20260101_000000" / "stage_seconds.json", SMALL, lens=2.0)
    of_study(root / "runs" / "20260102_000000" / "stage_seconds.json", LARGE, lens=900.0, probe=9)


def another_study_here(root: Path) -> None:
    (root / "params.yaml").write_text(LARGE)
    stage_seconds.add(root, {"lens": 900.0})
    stage_seconds.add(root, {"probe": 900.0}, cut="probe")
    (root / "params.yaml").write_text(SMALL)
    stage_seconds.add(root, {"probe": 4.0})


def of_no_study(root: Path) -> None:
    write(root / "runs" / "20260101_000000" / "stage_seconds.json", {"lens": 900.0})


def other_words(root: Path) -> None:
    stage_seconds.add(root, {"lens": 2.0})
    (root / "params.yaml").write_text("n: 2  # problems\nmodel: small\n")


MADE: dict[str, tuple[Callable[[Path], None], dict[str, float]]] = {
    "the newest of two": (newest_of_two, {"lens": 2.0, "probe": 4.0}),
    "another study since": (another_study_since, {"lens": 2.0}),
    "another study here": (another_study_here, {"probe": 4.0}),
    "of no study": (of_no_study, {}),
    "the same values in other words": (other_words, {"lens": 2.0}),
}
"""Tables that there are, and what is known of the study that is here."""


@pytest.mark.parametrize("member", MADE)
def test_times_are_known_of_this_study_alone(tmp_path: Path, member: str) -> None:
    make, expected = MADE[member]
    (tmp_path / "params.yaml").write_text(SMALL)
    make(tmp_path)
    assert stage_seconds.known(tmp_path) == expected


def test_a_file_that_is_no_table_of_seconds_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "20260101_000000" / "stage_seconds.json"
    for value in (
        [1],
        {"a": "x", "b": True, "c": -1, "d": None, "sha256 of params.yaml": ""},
        "text",
    ):
        write(path, value)
        assert stage_seconds.known(tmp_path) == {}
    path.write_text("{")
    assert stage_seconds.known(tmp_path) == {}
