"""Backtracking events: decisions after which a trace turned, and whether they come back."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader

_CURE = "Regenerate the events: `dvc --wait-for-lock repro stability`."


@dataclass(frozen=True)
class Event:
    """A decision after which the trace turned, by keyword or truly.

    Attributes:
        role: the model that wrote the continuations; the trace is that of the one under study.
        trace_id: the trace.
        problem_id: its problem.
        position: of the deciding token in `Trace.ids`.
        kind: true kind of the search position; None where it is not known.
        is_keyword: whether the rules call the next sentence backtracking.
        is_backtracking: whether the writer truly goes back; where only words tell, the same.
        n: continuations from the prefix that ends with the deciding token; 0 where the model has
            no room for one.
        n_keyword, n_backtracking: how many of them turned, by keyword and truly.
    """

    role: str
    trace_id: str
    problem_id: str
    position: int
    kind: str | None
    is_keyword: bool
    is_backtracking: bool
    n: int = 0
    n_keyword: int = 0
    n_backtracking: int = 0

    @property
    def decision_id(self) -> str:
        """The name of its decision (`Decisions.ids`)."""
        return f"{self.trace_id}@{self.position}"

    @property
    def stability(self) -> float | None:
        """Share of the continuations that backtrack; None without any."""
        return self.n_backtracking / self.n if self.n else None


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Writes events as JSON Lines."""
    reader.write_lines(path, events)


def read_events(path: Path) -> list[Event]:
    """All events of a file.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(Event, path, _CURE)
