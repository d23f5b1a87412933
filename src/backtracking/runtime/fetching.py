"""Folders of the machine that reproduces, for workers on machines that do not see them.

A folder that is there under its own path is read there. Else its files are copied once a machine,
in pieces, by small tasks that run where they are, into the folder for temporary files.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from lifeboat.stage import artifacts, claims

PIECE = 64 * 2**20
"""Bytes that travel at once."""

_home: list[str] = []


def set_home(node_id: str) -> None:
    """Says on which node of the cluster the folders are."""
    _home[:] = [node_id]


def local(folder: Path) -> Path:
    """A folder as this machine can read it: itself where it is there, or a copy.

    Raises:
        OSError: where it is nowhere, or there is no room.
    """
    if folder.is_dir() or not _home:
        return folder
    listed = _remote(_listed, folder)
    name = hashlib.sha256(repr(listed).encode()).hexdigest()[:16]
    ours = Path(tempfile.gettempdir()) / "mats-backtracking"
    place = ours / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    with claims.claimed(ours, place.name):
        if not (place / name).is_dir():
            shutil.rmtree(place, ignore_errors=True)
            with artifacts.new_folder(place / name) as fresh:
                for file, n_bytes, _time in listed:
                    _copy(folder / file, n_bytes, fresh / file)
    return place / name


def _copy(source: Path, n_bytes: int, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("wb") as file:
        for start in range(0, n_bytes, PIECE):
            file.write(_remote(_piece, source, start))


def _listed(folder: Path) -> list[tuple[str, int, int]]:
    """Its files: name, bytes, time of the last change."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in found]


def _piece(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(PIECE)


def _remote(function: Any, *arguments: Any) -> Any:
    """What a function returns on the machine that has the folders."""
    import ray
    from ray.exceptions import RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(_home[0], soft=False)
    task: Any = ray.remote(function)
    try:
        return ray.get(task.options(num_cpus=0, scheduling_strategy=there).remote(*arguments))
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None


def opened(function: Any, arguments: tuple[Any, ...]) -> Any:
    """What a function makes of arguments whose paths are folders, as this machine can read them."""
    return function(*(local(one) if isinstance(one, Path) else one for one in arguments))
