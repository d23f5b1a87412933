from dataclasses import dataclass

import pytest

from backtracking.records.edges import edge_of
from backtracking.records.intervals import Interval
from backtracking.records.rounding import rounded


@dataclass(frozen=True)
class Holder:
    name: str
    values: tuple[Interval, ...]
    by_name: dict[str, float | None]


def test_every_float_of_a_record_is_rounded_and_nothing_else() -> None:
    record = Holder("0.123456", (Interval(0.123456, -1e-9, None, 79),), {"a": 2 / 3, "b": None})
    found = rounded([record], 4)
    (one,) = found
    assert one == Holder("0.123456", (Interval(0.1235, 0.0, None, 79),), {"a": 0.6667, "b": None})
    assert str(one.values[0].low) == "0.0"


def test_a_choice_says_where_in_its_grid_it_lies() -> None:
    grid = (3.0, 1.0, 2.0)
    assert [edge_of(one, grid) for one in (1.0, 2.0, 3.0)] == ["smallest", "inside", "largest"]
    assert edge_of(5.0, (5.0,)) == "only"
    with pytest.raises(ValueError, match=r"Expected one of \[1.0, 2.0, 3.0\], found 4"):
        edge_of(4.0, grid)
