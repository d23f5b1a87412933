"""Whole files, written atomically: a reader sees the old bytes or the new ones, never a half.

A file in an out is a hard link into DVC's cache and into the store, so nothing here ever opens an
existing file for writing: each file is written beside its place and renamed onto it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lifeboat.stage.errors import UserError


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path` by temporary file and rename, making its folders.

    Raises:
        UserError: where the disk is full or the folder may not be written; nothing is overwritten.
    """
    with new_file(path) as fresh:
        fresh.write_bytes(data)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """The path of an empty file to write, which takes the place of `path` at the end.

    Its bytes are on the disk before it does.

    Raises:
        UserError: as `write_bytes`.
    """
    with _readable_errors(path), replaced(path) as fresh:
        yield fresh


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """As `new_file`, with the errors of the operating system as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        yield Path(name)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes JSON with sorted keys, two spaces of indent and a final newline; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes one JSON object a line, keys sorted."""
    lines = (json.dumps(row, sort_keys=True, allow_nan=False) + "\n" for row in rows)
    write_text(path, "".join(lines))


def write_csv(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Writes a table; floats with six significant digits, an absent value as an empty cell."""
    lines = [",".join(columns)]
    lines += [",".join(_cell(row.get(column)) for column in columns) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        UserError: naming the line that is not UTF-8.
        OSError: where it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        fact = f"{path}, line {line}: expected UTF-8, found the byte 0x{byte:02x}."
        raise UserError(fact, "Save the file as UTF-8.") from None


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: where the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.", _CURE_MISSING) from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}.", _CURE_MISSING) from None


def read_jsonl(path: Path, cure: str = "") -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file.

    Args:
        path: the file.
        cure: what to do where it is missing or broken; by default to make it by its stage.

    Raises:
        UserError: naming the file and the line that is not an object.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.", cure or _CURE_MISSING)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                value, said = json.loads(line), ""
            except ValueError as error:
                value, said = None, f" ({error})"
            if not isinstance(value, dict):
                found = repr(line[:60].decode(errors="replace"))
                raise UserError(
                    f"{path}, line {number}: expected a JSON object, found {found}{said}.",
                    cure or _CURE_MISSING,
                )
            yield value


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value written with sorted keys and no white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Makes `target` a hard link to `source`, or a copy where the file system cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_onto(source: Path, target: Path) -> None:
    """As `link_or_copy`, in the place of what `target` was."""
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    link_or_copy(source, staged)
    os.replace(staged, target)
    staged.unlink(missing_ok=True)  # a rename between two links to one file does nothing


def make_folder(path: Path) -> None:
    """Makes a folder and its parents, unless it is there.

    Raises:
        UserError: where it cannot be made.
    """
    with _readable_errors(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` at the end, whole or not at all.

    An old folder is moved aside before the rename and removed after it, never written into.
    """
    with _readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent.glob(f".{path.name}.new.*"))
        sweep(path.parent.glob(f".{path.name}.old.*"))
        fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.new."))
    aside = path.parent / f".{path.name}.old.{os.getpid()}"
    try:
        with _readable_errors(path):
            yield fresh
            os.chmod(fresh, 0o755)
            _take_place(fresh, path, aside)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _take_place(fresh: Path, path: Path, aside: Path) -> None:
    """Renames `fresh` to `path`; where that fails, the old folder comes back."""
    if path.exists():
        os.replace(path, aside)
    try:
        os.replace(fresh, path)
    except BaseException:
        if aside.exists():
            os.replace(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def sweep(paths: Iterable[Path], older_than_s: float = 3600) -> None:
    """Removes what killed processes left, if it is old enough; what will not go stays."""
    for path in paths:
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > older_than_s:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def require_free_space(path: Path, n_bytes: int, what: str) -> None:
    """Checks before any work that `n_bytes` fit on the disk of `path`, with 5 % to spare.

    Raises:
        UserError: with the estimate, what is free and what to do.
    """
    folder = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if n_bytes * 1.05 > free:
        raise UserError(
            f"{what} needs about {n_bytes / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB "
            "free.",
            "Free some space (`dvc gc --workspace`, `lifeboat store prune`) or ask for less.",
        )


_CURE_MISSING = "Make it with `dvc --wait-for-lock repro`, or fetch it with `dvc pull`."


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if set(text) & set(',"\n') else text


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error.strerror or error}.",
            "Nothing was overwritten. Check the free space and the permissions of its folder.",
        ) from error
