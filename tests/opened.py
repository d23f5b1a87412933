"""Which files below a folder are read, by whatever process or library: Linux tells (inotify).

An audit hook of Python would miss what safetensors and tokenizers open, which are in Rust.
"""

import ctypes
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from project import ROOT

from backtracking.runtime import params

_WRITTEN, _OPENED, _OVERFLOW, _IS_FOLDER = 0x8, 0x20, 0x4000, 0x40000000
_HEADER = struct.Struct("iIII")


@contextmanager
def files_read(root: Path) -> Iterator[set[str]]:
    """Files that are opened and not written, relative to the root; filled when the block ends.

    Of the folders that are there when it begins, but for `.cache`: units are no dependency.
    """
    libc, found = ctypes.CDLL(None, use_errno=True), set[str]()
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    folders = [Path(folder) for folder, _, _ in os.walk(root) if ".cache" not in folder]
    watched = {
        libc.inotify_add_watch(descriptor, os.fsencode(one), _OPENED | _WRITTEN): one
        for one in folders
    }
    assert min(watched) > 0, os.strerror(ctypes.get_errno())
    try:
        yield found
        events = [
            (str(path.relative_to(root)), mask) for path, mask in _events(descriptor, watched)
        ]
        found |= {path for path, _ in events} - {path for path, mask in events if mask & _WRITTEN}
    finally:
        os.close(descriptor)


def _events(descriptor: int, watched: Mapping[int, Path]) -> Iterator[tuple[Path, int]]:
    """What happened to files so far: each with the bits of what it was."""
    while True:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEADER.unpack_from(data, at)
            name = data[at + _HEADER.size :][:length].rstrip(b"\0")
            at += _HEADER.size + length
            assert not mask & _OVERFLOW, "more files were opened than Linux keeps events of"
            if name and not mask & _IS_FOLDER:
                yield watched[watch] / os.fsdecode(name), mask


def data_of(stage: str, role: str, settings: Path) -> list[str]:
    """The data that dvc.yaml says a stage reads, for a role, in a study with these parameters.

    A file that params.yaml names and nobody has to give (`.gitkeep`) is none.
    """
    body, values = params.read(ROOT / "dvc.yaml")["stages"][stage], params.read(settings)
    given = {"key": role, "item": values["models"]["roles"].get(role), **values}
    deps = [_resolved(one, given) for one in body.get("do", body)["deps"]]
    return [one for one in deps if not one.startswith("src/") and Path(one).name != ".gitkeep"]


def _resolved(entry: str, given: Mapping[str, object]) -> str:
    before, opens, rest = entry.partition("${")
    if not opens:
        return entry
    name, _, after = rest.partition("}")
    value: object = given
    for part in name.split("."):
        assert isinstance(value, Mapping)
        value = value[part]
    return f"{before}{value}{after}"


def is_in(file: str, folder: str) -> bool:
    """Whether a file is this one, or in it."""
    return file == folder or file.startswith(f"{folder}/")
