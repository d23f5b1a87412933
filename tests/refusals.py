"""What a file system may refuse: every such call of ours, a dozen answers, and stand-ins."""

import ast
import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CALLS = {
    "os.chmod": os,
    "os.fsync": os,
    "os.link": os,
    "os.replace": os,
    "os.setpriority": os,
    "os.utime": os,
    "fcntl.fcntl": fcntl,
    "fcntl.flock": fcntl,
    "fcntl.lockf": fcntl,
    "shutil.disk_usage": shutil,
}
"""Calls that a file system or a container may refuse, and that nobody ends for."""

NEEDED = {"os.open", "os.write", "os.stat", "os.unlink", "os.walk", "os.listdir", "shutil.copyfile"}
"""Calls without which nothing can be kept: where they are refused, a sentence says so."""

MODULES = {"os", "fcntl", "shutil"}

PATHS = {"chmod": "os.chmod", "replace": "os.replace", "rename": "os.replace"}
"""Methods of paths, by the call that they make."""

ERRNOS = tuple(
    getattr(errno, name)
    for name in (
        *("EPERM", "EACCES", "ENOSYS", "EINVAL", "EOPNOTSUPP", "ENOTTY", "EXDEV", "EMLINK"),
        *("EROFS", "ENOLCK", "EAGAIN", "EBUSY", "ETXTBSY", "EIO", "ENOSPC", "EDQUOT"),
    )
)
by_errno = pytest.mark.parametrize("code", ERRNOS, ids=[errno.errorcode[one] for one in ERRNOS])


def refusing(code: int) -> Callable[..., Any]:
    """A call that is always refused."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    """Has the system refuse a call of `CALLS`."""
    monkeypatch.setattr(CALLS[call], call.partition(".")[2], refusing(code))


def refuse_past_cache(monkeypatch: pytest.MonkeyPatch, code: int, at: int = 0) -> None:
    """Has the system open files past the page cache, and refuse what is written there.

    Args:
        monkeypatch: of the test.
        code: what it answers.
        at: writes that it takes before.
    """
    write, taken = os.write, []

    def written(descriptor: int, data: Any) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            taken.append(descriptor)
            if len(taken) > at:
                raise OSError(code, os.strerror(code))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", written)


def calls_in(path: Path) -> set[str]:
    """The calls of os, fcntl and shutil in a file, and the methods of paths among `PATHS`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in MODULES:
            found.add(ast.unparse(node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_of_text = len(node.args) != 1 or isinstance(node.args[0], ast.Constant)
            if node.func.attr in PATHS and not (node.func.attr == "replace" and is_of_text):
                found.add(PATHS[node.func.attr])
    return found
