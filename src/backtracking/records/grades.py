"""What a trace is worth: four outcomes, of which only the first is right."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backtracking.records import reader

Outcome = Literal["right", "wrong", "unparsable", "unfinished"]


@dataclass(frozen=True)
class Grade:
    """One trace, graded.

    Attributes:
        trace_id: the trace.
        problem_id: its problem.
        outcome: `right`; `wrong`; `unparsable` where it ends without an answer that can be
            compared; `unfinished` where it was cut.
        answer: what was read as its answer; None where there is none.
        why: the reason, in words.
    """

    trace_id: str
    problem_id: str
    outcome: Outcome
    answer: str | None
    why: str


@dataclass(frozen=True)
class Observation:
    """One yes or no about one problem, of what a domain looks at beside grades.

    Attributes:
        measure: what was looked at.
        problem_id: the problem that it belongs to.
        value: whether it was so.
    """

    measure: str
    problem_id: str
    value: bool


def write_grades(path: Path, grades: Iterable[Grade]) -> None:
    """Writes grades as JSON Lines."""
    reader.write_lines(path, grades)


def read_grades(path: Path) -> list[Grade]:
    """All grades of a file.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(Grade, path)
