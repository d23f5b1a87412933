"""Tables of results: a file of rows, each a record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from backtracking.records import reader
from lifeboat.stage import artifacts

R = TypeVar("R", bound="Row")
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A row of a table, or a file that is one record.

    Attributes:
        FILE: of the table: `<stage>/<path>` for results/<stage>/<path>.json.
    """

    FILE: ClassVar[str]


def read_rows(cls: type[R], results: Path) -> list[R]:
    """The rows of a table; none where the study has no such table.

    Args:
        cls: of the rows.
        results: the folder of all stages' results.

    Raises:
        UserError: where a row is broken.
    """
    path = results / f"{cls.FILE}.json"
    return reader.read_list(cls, path) if path.is_file() else []


def read_record(cls: type[R], results: Path) -> R | None:
    """The record that a file is; None where the study has no such file.

    Args, raises: as `read_rows`.
    """
    path = results / f"{cls.FILE}.json"
    return reader.read_json(cls, path) if path.is_file() else None


def write_rows(cls: type[R], rows: Sequence[R], out: Path) -> None:
    """Writes a table into the out of its stage."""
    artifacts.write_json(out / f"{cls.FILE.partition('/')[2]}.json", reader.encode(list(rows)))


def first(rows: Iterable[T], **match: Any) -> T | None:
    """The first row whose attributes have these values, or None."""
    for row in rows:
        if all(getattr(row, name) == value for name, value in match.items()):
            return row
    return None


@dataclass(frozen=True)
class Tables:
    """The tables of a study, each read once, when it is asked for.

    Attributes:
        results: the folder of all stages' results; None where all rows are given.
    """

    results: Path | None
    _found: dict[type[Row], list[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Tables":
        """Tables of given rows; every other table is empty."""
        found: dict[type[Row], list[Any]] = {}
        for row in rows:
            found.setdefault(type(row), []).append(row)
        return cls(None, found)

    def rows(self, table: type[R]) -> list[R]:
        """The rows of a table; none where the study has none."""
        if self.results is not None and table not in self._found:
            self._found[table] = read_rows(table, self.results)
        return self._found.get(table, [])

    def record(self, file: type[R]) -> R | None:
        """The record that a file is; None where the study has no such file."""
        if self.results is not None and file not in self._found:
            record = read_record(file, self.results)
            self._found[file] = [] if record is None else [record]
        return next(iter(self._found.get(file, [])), None)
