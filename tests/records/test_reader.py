"""Records are read as strictly as they are written: every key, every type, by file and line."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from backtracking.records import reader
from backtracking.records.decoding import INLINED, may_be_absent
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row, read_rows, write_rows
from backtracking.records.sentences import Sentence, Truth
from lifeboat.stage.errors import UserError


class Point(NamedTuple):
    x: int
    name: str | None = None


@dataclass(frozen=True)
class Inner:
    share: float
    is_whole: bool


@dataclass(frozen=True)
class Outer:
    name: str
    n: int
    color: Literal["red", "blue"]
    inner: Inner
    maybe: Inner | None
    ids: list[int]
    pair: tuple[int, int]
    shares: tuple[float, ...]
    inners: tuple[Inner, ...]
    by_name: Mapping[str, Inner]
    point: Point
    few: frozenset[int]
    slots: tuple[frozenset[int] | None, ...]
    anything: dict[str, Any]


@dataclass(frozen=True)
class ByHand:
    text: str
    note: str | None = may_be_absent()
    n: int = may_be_absent(3)


@dataclass(frozen=True)
class Odd:
    by_number: Mapping[int, str]


@dataclass(frozen=True)
class Positive:
    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n {self.n} must be 1 or more")


INNER = Inner(0.5, True)
RECORD = Outer(
    "a", 3, "red", INNER, None, [1, 2], (4, 5), (0.25, 1.0), (INNER, Inner(1.0, False)),
    {"one": INNER}, Point(7, None), frozenset({9, 2}), (None, frozenset({4})), {"k": [1, "x"]},
)  # fmt: skip


def written(record: object, **changes: object) -> dict[str, Any]:
    return reader.encode(record) | changes


def message(tmp_path: Path, row: object, cls: type = Outer) -> str:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(written(RECORD) if cls is Outer else row) + "\n" + json.dumps(row))
    if cls is not Outer:
        path.write_text("\n".join([json.dumps(row)] * 2))
    with pytest.raises(UserError) as error:
        reader.read_lines(cls, path, "Mend it.")
    return str(error.value)


def test_a_record_of_every_type_comes_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    reader.write_lines(path, [RECORD, RECORD])
    found = reader.read_lines(Outer, path)
    assert found == [RECORD, RECORD]
    assert isinstance(found[0].point, Point) and isinstance(found[0].few, frozenset)
    assert isinstance(found[0].inners, tuple) and isinstance(found[0].ids, list)
    reader.write_json(tmp_path / "record.json", RECORD)
    assert reader.read_json(Outer, tmp_path / "record.json") == RECORD


def test_the_same_records_are_the_same_bytes_with_sorted_keys(tmp_path: Path) -> None:
    for name in ("a", "b"):
        reader.write_lines(tmp_path / name, [RECORD])
    text = (tmp_path / "a").read_text()
    assert text == (tmp_path / "b").read_text()
    keys = list(json.loads(text))
    assert keys == sorted(keys)
    assert json.loads(text)["few"] == [2, 9]
    assert json.loads(text)["point"] == {"x": 7, "name": None}


@pytest.mark.parametrize(
    ("change", "key", "told"),
    [
        ({"name": 3}, "`name`", "expected str, found int 3"),
        ({"n": True}, "`n`", "expected int, found bool True"),
        ({"n": 3.0}, "`n`", "expected int, found float 3.0"),
        ({"n": None}, "`n`", "expected int, found NoneType None"),
        ({"color": "green"}, "`color`", "expected one of ['red', 'blue'], found str 'green'"),
        ({"color": ["red"]}, "`color`", "expected one of"),
        ({"inner": {"share": "x", "is_whole": True}}, "`inner.share`", "a finite float"),
        ({"inner": {"share": True, "is_whole": True}}, "`inner.share`", "found bool True"),
        ({"inner": {"share": 0.5, "is_whole": 1}}, "`inner.is_whole`", "expected bool, found int"),
        ({"inner": {"share": 0.5}}, "`inner`", "is_whole missing"),
        ({"maybe": 3}, "`maybe`", "or null, found int 3"),
        ({"ids": [1, "2"]}, "`ids[1]`", "expected int, found str '2'"),
        ({"ids": [1, True]}, "`ids[1]`", "expected int, found bool True"),
        ({"ids": "12"}, "`ids`", "expected a list of int, found str '12'"),
        ({"pair": [1, 2, 3]}, "`pair`", "expected 2 values"),
        ({"inners": [{"share": 1.0, "is_whole": None}]}, "`inners[0].is_whole`", "expected bool"),
        ({"by_name": {"one": {"share": 1.0}}}, "`by_name.one`", "is_whole missing"),
        ({"point": [7, None]}, "`point`", "expected an object with the keys ['name', 'x']"),
        ({"few": [2, 2]}, "`few`", "expected values that differ"),
        ({"slots": [None, [4, "a"]]}, "`slots[1][1]`", "expected int"),
        ({"further": 1}, "", "further too many"),
    ],
)  # fmt: skip
def test_another_value_is_told_by_file_line_key_what_was_expected_and_found(
    tmp_path: Path, change: dict, key: str, told: str
) -> None:
    found = message(tmp_path, written(RECORD, **change))
    assert found.startswith(f"{tmp_path / 'records.jsonl'}, line 2")
    assert key in found and told in found and found.endswith("Mend it.")


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    row = written(RECORD)
    del row["name"], row["n"]
    assert "n, name missing" in message(tmp_path, row)


@pytest.mark.parametrize("text", ['{"share": NaN, "is_whole": true}', '{"share": Infinity}', "[1]"])
def test_what_is_no_number_or_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(UserError, match="line 1"):
        reader.read_lines(Inner, tmp_path / "x.jsonl")


def test_a_whole_number_is_a_float_where_one_is_expected() -> None:
    found = reader.decode(Inner, {"share": 1, "is_whole": True}, "here")
    assert found == INNER.__class__(1.0, True) and isinstance(found.share, float)


def test_keys_may_be_absent_where_the_class_says_so() -> None:
    assert reader.decode(ByHand, {"text": "a"}, "here") == ByHand("a", None, 3)
    with pytest.raises(UserError, match="text missing"):
        reader.decode(ByHand, {"note": "a"}, "here")


def test_what_a_record_itself_refuses_is_told_with_its_line(tmp_path: Path) -> None:
    assert "line 1: expected a Positive, found one that it refuses: n 0 must" in message(
        tmp_path, {"n": 0}, Positive
    )


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        reader.read_lines(Outer, tmp_path / "none.jsonl")


def test_a_type_that_no_record_may_have_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match="no type that a record's field may have"):
        reader.decode(Odd, {"by_number": {}}, "here")


SPEED = """
import sys, time
from pathlib import Path
from backtracking.records import reader, sentences
path = Path(sys.argv[1])
begun = time.process_time()
assert len(reader.read_lines(sentences.Sentence, path)) == 50_000
print(time.process_time() - begun, "torch" in sys.modules)
"""


def test_fifty_thousand_sentences_take_a_second_or_two_and_no_torch(tmp_path: Path) -> None:
    sentence = Sentence(
        "a/0", 1, 10, 15, "Compare 12 with 30.", True,
        {"exact": "deduction", "rules": "deduction"},
        Truth("compare", "alive", 12.0, 12.0, 30.0, True, "comparison", "goes on", "12 3", "4 8"),
    )  # fmt: skip
    path = tmp_path / "sentences.jsonl"
    path.write_text((json.dumps(reader.encode(sentence), sort_keys=True) + "\n") * 50_000)
    # In a process of its own: here every function checks the types of its arguments.
    command = [sys.executable, "-c", SPEED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, has_torch = done.stdout.split()
    assert float(seconds) < 10
    assert has_torch == "False"


@dataclass(frozen=True)
class Cell(Row):
    FILE = "stage/table/cells"

    class_: str
    level: Interval = field(metadata=INLINED)
    effect: Interval


def test_a_table_holds_intervals_inlined_and_nested_and_is_read_as_it_was_written(
    tmp_path: Path,
) -> None:
    one = Cell("over", Interval(0.5, 0.25, 0.75, 3), Interval(None, None, None, 0))
    write_rows(Cell, [one], tmp_path / "stage")
    (row,) = json.loads((tmp_path / "stage/table/cells.json").read_text())
    assert row.keys() == {"class", "value", "low", "high", "n", "effect"}
    assert read_rows(Cell, tmp_path) == [one]
    assert read_rows(Cell, tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"low": "x"}, "key `[0].level.low`: expected a finite float"),
        ({"more": 1}, "more too many"),
    ],
)
def test_a_row_with_a_broken_or_a_further_key_is_named(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    write_rows(
        Cell, [Cell("over", Interval(0.5, 0.25, 0.75, 3), Interval(0.0, 0.0, 0.0, 3))], tmp_path
    )
    path = tmp_path / "table/cells.json"
    path.write_text(json.dumps([json.loads(path.read_text())[0] | change]))
    (tmp_path / "stage/table").mkdir(parents=True)
    path.rename(tmp_path / "stage/table/cells.json")
    with pytest.raises(UserError, match=re.escape(said)):
        read_rows(Cell, tmp_path)
