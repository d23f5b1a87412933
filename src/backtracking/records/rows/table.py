"""Tables of results: a file of rows, each a record."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from backtracking.records import reader
from lifeboat.stage import artifacts

R = TypeVar("R", bound="Row")


@dataclass(frozen=True)
class Row:
    """A row of a table.

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


def write_rows(cls: type[R], rows: Sequence[R], out: Path) -> None:
    """Writes a table into the out of its stage."""
    artifacts.write_json(out / f"{cls.FILE.partition('/')[2]}.json", reader.encode(list(rows)))
