"""Records go to JSON Lines and back, and a broken line is named by file and number."""

import dataclasses
import json
from pathlib import Path

import pytest

from backtracking.records import traces
from backtracking.records.traces import Problem, Sentence, Trace
from lifeboat.stage.errors import UserError

PROBLEM = Problem("3-5-to-8", "train", "study", "Numbers 3 5. Target 8.", "3 5")
TRACE = Trace("3-5-to-8/0", "3-5-to-8", "train", 0, [1, 5], [6, 2], "a", "stop", {"seed": 1})
SENTENCE = Sentence("3-5-to-8/0", 0, 2, 3, "a", "deduction", "exact", {"kind": "alive"})


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    others = [TRACE, dataclasses.replace(TRACE, split="test", token_ids=[])]
    traces.write(path, others)
    assert traces.read(Trace, path) == others
    traces.write(path, [PROBLEM])
    assert traces.read(Problem, path) == [PROBLEM]
    traces.write(path, [SENTENCE])
    assert traces.read(Sentence, path) == [SENTENCE]
    traces.write(path, [])
    assert traces.read(Sentence, path) == []


def test_positions_count_from_the_first_token_of_the_prompt() -> None:
    assert TRACE.ids == [1, 5, 6, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": "0"}, "key `sample`: expected int, found str '0'"),
        ({"sample": True}, "key `sample`"),
        ({"token_ids": [1, "2"]}, "key `token_ids`: expected token ids"),
        ({"token_ids": [1, 2.0]}, "key `token_ids`: expected token ids"),
        ({"token_ids": None}, "key `token_ids`: expected list"),
        ({"extra": 1}, r"\['extra'\] differ"),
    ],
)
def test_a_wrong_record_names_file_line_and_key(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "traces.jsonl"
    rows = [dataclasses.asdict(TRACE), dataclasses.asdict(TRACE) | change]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=message) as error:
        traces.read(Trace, path)
    assert str(error.value).startswith(f"{path}, line 2")


@pytest.mark.parametrize("line", ['{"trace_id": "x', "[1, 2]", "", "\x00"])
def test_a_broken_line_names_file_and_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(dataclasses.asdict(TRACE)) + "\n" + line + "\n")
    with pytest.raises(UserError, match="line 2: expected a JSON object"):
        traces.read(Trace, path)


def test_a_missing_key_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    with pytest.raises(UserError, match=r"problems.jsonl does not exist. Make it with"):
        traces.read(Problem, path)
    row = dataclasses.asdict(PROBLEM)
    del row["answer"]
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=r"line 1: expected the keys .*\['answer'\] differ"):
        traces.read(Problem, path)
