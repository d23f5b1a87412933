"""Whole files, written atomically: a reader sees the old bytes or the new ones, never a half.

A file in an out is a hard link into DVC's cache and into the store, so nothing here ever opens an
existing file for writing: each file is written beside its place and renamed onto it.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lifeboat.stage import abilities, temporary
from lifeboat.stage.errors import UserError

R = TypeVar("R")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path` by temporary file and rename, making its folders.

    Raises:
        UserError: where the disk is full or the folder may not be written; nothing is overwritten.
    """
    write_file(path, lambda fresh: fresh.write_bytes(data))


def write_file(
    path: Path, fill: Callable[[Path], R], place: Callable[[R], Path] | None = None
) -> R:
    """Has `fill` write a file, which takes the place of `path` once it is on the disk.

    Args:
        path: beside which the file lies until then.
        fill: writes it, and once more where somebody has swept it meanwhile.
        place: where it belongs, by what `fill` returned [`path`].

    Raises:
        UserError: as `write_bytes`.
    """

    def attempt() -> R:
        with temporary.file(path) as fresh:
            with temporary.held(fresh):
                result = fill(fresh)
                _flush(fresh)
            _take_file_place(fresh, place(result) if place else path)
        return result

    with _readable_errors(path):
        return temporary.made(attempt)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """An empty file to write, as in `write_file`, with the system's errors as they are."""
    with temporary.file(path) as fresh:
        with temporary.held(fresh):
            yield fresh
            _flush(fresh)
        _take_file_place(fresh, path)


def _flush(path: Path) -> None:
    """Has a file's bytes on the disk, where its file system says when they are."""
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno in abilities.LOST:
                raise


def _take_file_place(fresh: Path, path: Path) -> None:
    with contextlib.suppress(OSError):
        os.chmod(fresh, 0o644)
    try:
        os.replace(fresh, path)
    except OSError as error:
        if error.errno in abilities.LOST or abilities.has(path.parent, abilities.RENAMES):
            raise
        path.unlink(missing_ok=True)  # never written into: it may be a link to another place
        shutil.copyfile(fresh, path)


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
    """Makes `target` a hard link to `source`, or a copy where that is refused.

    A copy takes the place of what `target` was, which a link cannot.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        if not (target.exists() and target.samefile(source)):
            with replaced(target) as fresh:
                shutil.copyfile(source, fresh)


def link_onto(source: Path, target: Path) -> None:
    """As `link_or_copy`, in the place of what `target` was."""
    staged = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        link_or_copy(source, staged)
        move(staged, target)
    finally:
        staged.unlink(missing_ok=True)  # a rename between two links to one file does nothing


def move(source: Path, target: Path) -> None:
    """Renames a file or folder; where that is refused, what is in it moves one by one.

    A file takes the place of what `target` was. A folder moves whole or not at all.
    """
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno in abilities.LOST:
            raise
        if source.is_dir() and not source.is_symlink():
            _move_one_by_one(source, target)
        else:
            with replaced(target) as fresh:
                shutil.copyfile(source, fresh)
            source.unlink()


def _move_one_by_one(source: Path, target: Path) -> None:
    target.mkdir()
    try:
        for path in sorted(source.iterdir()):
            move(path, target / path.name)
    except BaseException:
        for path in sorted(target.iterdir()):
            move(path, source / path.name)
        target.rmdir()
        raise
    source.rmdir()


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
        for kind in ("new", "old"):
            temporary.sweep(path.parent.glob(f".{path.name}.{kind}.*"))
        with temporary.folder(path.parent, f".{path.name}.new.") as fresh:
            with temporary.held(fresh):
                yield fresh
            with contextlib.suppress(OSError):
                os.chmod(fresh, 0o755)
            _take_place(fresh, path)


def _take_place(fresh: Path, path: Path) -> None:
    """Moves `fresh` to `path`; where that fails, the old folder comes back."""
    aside = path.parent / f".{path.name}.old.{secrets.token_hex(4)}"
    if path.exists():
        move(path, aside)
    try:
        move(fresh, path)
    except BaseException:
        if aside.exists():
            move(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def require_free_space(path: Path, n_bytes: int, what: str) -> None:
    """Checks before any work that `n_bytes` fit on the disk of `path`, with 5 % to spare.

    Raises:
        UserError: with the estimate, what is free and what to do.
    """
    folder = abilities.existing(path)
    free = abilities.free_bytes(folder)
    if free is not None and n_bytes * 1.05 > free:
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
