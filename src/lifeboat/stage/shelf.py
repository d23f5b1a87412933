"""The files of one out's units. A name says what a file is and the hash of its bytes.

So one rename makes a whole unit, `<name>.<sha256>.safetensors`, and any reader can tell whether it
is what it was.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lifeboat.stage import artifacts, claims

SUFFIX = ".safetensors"

_NAMED = re.compile(r"(.+)\.([0-9a-f]{64})(\.\w+)+")


def store(root: Path) -> Path:
    """The folder of all units of a project: `<out>/` in it for each out, outside every out.

    In a queued experiment DVC_ROOT is the live project, so the store is shared.
    """
    return Path(os.environ.get("DVC_ROOT", root)) / ".cache" / "store"


class Shelf:
    """The units of an out.

    Args:
        folder: made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[str, list[str]] | None = None
        claims.sweep(folder)

    def numbers(self, name: str) -> list[int]:
        """The numbers n, in order, of which there is a file `<name>.<n>`, whole or not."""
        own = [_NAMED.fullmatch(file) for file in self._listed(name)]
        after = [match[1].removeprefix(f"{name}.") for match in own if match]
        return sorted({int(number) for number in after if re.fullmatch(r"[0-9]+", number)})

    def find(self, name: str) -> Path | None:
        """The whole file of a name: one whose bytes are what its own name says."""
        for path, sha256 in self._candidates(name):
            with contextlib.suppress(FileNotFoundError):  # another process makes it anew
                if artifacts.sha256_file(path) == sha256:
                    return path
        return None

    def add(self, name: str, fill: Callable[[Path], object]) -> Path:
        """The file that `fill` writes, under its name.

        Raises:
            UserError: where the disk is full or the folder may not be written.
        """

        def filled(fresh: Path) -> Path:
            fill(fresh)
            return self.folder / f"{name}.{artifacts.sha256_file(fresh)}{SUFFIX}"

        return artifacts.write_file(self.folder / name, filled, lambda path: path)

    def discard(self, name: str) -> None:
        """Removes what has a name and is not whole, and says so; call it with the name claimed."""
        for path, _sha256 in self._files(name):
            said = f"{path} is truncated or altered, and is made again."
            print(said, file=sys.stderr, flush=True)
            path.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Removes what has a name."""
        for path, _sha256 in self._files(name):
            path.unlink(missing_ok=True)

    def _candidates(self, name: str) -> Iterator[tuple[Path, str]]:
        """Files of a name: as first seen, so that not every name lists the folder; then as now."""
        if self._seen is None:
            self._seen = {}
            for file in self._listed():
                if match := _NAMED.fullmatch(file):
                    self._seen.setdefault(match[1], []).append(file)
        yield from self._told(name, self._seen.get(name, []))
        yield from self._files(name)

    def _files(self, name: str) -> list[tuple[Path, str]]:
        return self._told(name, self._listed(name))

    def _told(self, name: str, files: list[str]) -> list[tuple[Path, str]]:
        matches = [match for file in files if (match := _NAMED.fullmatch(file))]
        return [(self.folder / one[0], one[2]) for one in matches if one[1] == name]

    def _listed(self, name: str = "") -> list[str]:
        """The folder's files in order, all of them or those that begin with a name and a dot."""
        start = f"{name}." if name else ""
        listed = os.listdir(self.folder) if self.folder.is_dir() else []
        return sorted(one for one in listed if one.startswith(start))
