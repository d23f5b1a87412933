"""Expected objects on the disk, so that memory does not grow with their number."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lifeboat.proof.expected import Object
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Entry:
    """An object and the out that it is expected for.

    Attributes:
        object: the object.
        out: number of the out.
    """

    object: Object
    out: int


class Ledger:
    """A temporary database of objects, gone with the process.

    Used by one thread. The file has no name and lies in the folder for temporary files.
    """

    def __init__(self) -> None:
        with _readable_errors():
            self._base = sqlite3.connect("")
            self._base.execute(
                "CREATE TABLE objects (oid TEXT, path TEXT, bytes INTEGER, stage TEXT, "
                "is_known INTEGER, out INTEGER)"
            )

    def add(self, out: int, objects: Iterable[Object]) -> None:
        """Takes in the objects of an out, one at a time."""
        rows = ((o.oid, o.path, o.bytes, o.stage, o.is_known, out) for o in objects)
        with _readable_errors():
            self._base.executemany("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?)", rows)

    def prefixes(self) -> list[str]:
        """The first two digits of all keys, after which nothing is added any more."""
        with _readable_errors():
            self._base.execute("CREATE INDEX IF NOT EXISTS by_oid ON objects (oid, path)")
            found = self._base.execute("SELECT DISTINCT substr(oid, 1, 2) FROM objects ORDER BY 1")
            return [row[0] for row in found]

    def under(self, prefix: str) -> list[Entry]:
        """Entries whose key starts so, by key and path."""
        where = "oid >= ? AND oid < ? ORDER BY oid, path"
        return list(self._entries(where, (prefix, prefix + "g")))

    def of(self, out: int) -> Iterator[Entry]:
        """Entries of an out, by key and path."""
        return self._entries("out = ? ORDER BY oid, path", (out,))

    def close(self) -> None:
        """Removes it all."""
        self._base.close()

    def _entries(self, where: str, values: tuple[object, ...]) -> Iterator[Entry]:
        columns = "oid, path, bytes, stage, is_known, out"
        with _readable_errors():
            query = f"SELECT {columns} FROM objects WHERE {where}"
            for oid, path, size, stage, is_known, out in self._base.execute(query, values):
                yield Entry(Object(oid, path, size, stage, bool(is_known)), out)


@contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UserError(
            f"The list of expected objects could not be kept: {error}.",
            "Check the space in the folder for temporary files (TMPDIR).",
        ) from error
