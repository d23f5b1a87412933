"""Records of what directions decode to: read as they were written."""

from pathlib import Path

import pytest

from backtracking.records.decoded import Decoded, Random, Rank, read_decoded, write_decoded
from backtracking.records.places import Place
from lifeboat.stage.errors import UserError


def test_readings_are_read_as_they_were_written(tmp_path: Path) -> None:
    place = Place("base", "state", (-1, 10), 2, "deduction")
    ranks = (Rank("Wait", 1.5, 0.99, 2.0),)
    decoded = [
        Decoded(place, "reasoning", True, "whole", 1.0, ranks, ("Wait",), ("no", "No")),
        Decoded(Place("base", "action"), "base", False, "without_markers", 0.5, (), (), ()),
    ]
    random = [Random("reasoning", True, "Wait", (0.25, 0.5))]
    write_decoded(tmp_path, decoded, random)
    assert read_decoded(tmp_path) == (decoded, random)
    (tmp_path / "random.jsonl").unlink()
    with pytest.raises(UserError, match="random.jsonl"):
        read_decoded(tmp_path)


def test_a_window_is_told_as_it_is_counted_from_the_deciding_token() -> None:
    assert Place("base", "matched", (-4, 0), 2).window_text == "-4:0"
    assert Place("base", "action").window_text is None
