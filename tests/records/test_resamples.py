"""Continuations are read with their counts, and what is broken is named by its line."""

import gzip
import json
from pathlib import Path

import pytest

from backtracking.records.resamples import NextSentence, Resampled, read_resamples
from lifeboat.stage.errors import UserError

ROW = {"trace_id": "t", "index": 3, "n": 5, "next_sentences": [["Wait.", 2], ["So.", 3]]}


def write(path: Path, row: object) -> Path:
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    return path


def test_positions_are_read_with_every_sentence_and_its_count(tmp_path: Path) -> None:
    (found,) = read_resamples(write(tmp_path / "a.gz", ROW))
    assert found == Resampled("t", 3, 5, (NextSentence("Wait.", 2), NextSentence("So.", 3)))


@pytest.mark.parametrize(
    "changed", [{"n": 6}, {"index": "3"}, {"next_sentences": [["Wait."]]}, {"trace_id": None}]
)
def test_a_broken_position_is_named_by_its_line(tmp_path: Path, changed: dict[str, object]) -> None:
    with pytest.raises(UserError, match="line 1"):
        read_resamples(write(tmp_path / "a.gz", ROW | changed))


def test_a_missing_key_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1"):
        read_resamples(write(tmp_path / "a.gz", {"trace_id": "t"}))
