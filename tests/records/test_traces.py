"""Traces go to JSON Lines and back, and a wrong one is named by file, line and key."""

import dataclasses
import json
from pathlib import Path

import pytest

from backtracking.records import reader
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

TRACE = Trace("3-5-to-8/0", "3-5-to-8", "train", 0, [1, 5], [6, 2], "a", "stop", {"seed": 1})


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    others = [TRACE, dataclasses.replace(TRACE, split="test", token_ids=[])]
    reader.write_lines(path, others)
    assert reader.read_lines(Trace, path) == others
    reader.write_lines(path, [])
    assert reader.read_lines(Trace, path) == []


def test_positions_count_from_the_first_token_of_the_prompt() -> None:
    assert TRACE.ids == [1, 5, 6, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": "0"}, "key `sample`: expected int, found str '0'"),
        ({"sample": True}, "key `sample`: expected int, found bool"),
        ({"token_ids": [1, "2"]}, r"key `token_ids\[1\]`: expected int"),
        ({"token_ids": [1, 2.0]}, r"key `token_ids\[1\]`: expected int"),
        ({"token_ids": None}, "key `token_ids`: expected a list of int"),
        ({"extra": 1}, "extra too many"),
    ],
)
def test_a_wrong_trace_names_file_line_and_key(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "traces.jsonl"
    rows = [dataclasses.asdict(TRACE), dataclasses.asdict(TRACE) | change]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=message) as error:
        reader.read_lines(Trace, path)
    assert str(error.value).startswith(f"{path}, line 2")


@pytest.mark.parametrize("line", ['{"trace_id": "x', "[1, 2]", "", "\x00"])
def test_a_broken_line_names_file_and_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(dataclasses.asdict(TRACE)) + "\n" + line + "\n")
    with pytest.raises(UserError, match="line 2: expected a JSON object"):
        reader.read_lines(Trace, path)
