"""What a process of ours needs around it, set once at its beginning, where a machine lacks it.

UTF-8, a PYTHONPATH that hides no package of the environment, a name and a home for the user, a
folder for temporary files that has room, one for DVC's notes of its own that can be written, and
the accounts of `.env`. Children have it from us.
"""

import contextlib
import locale
import os
import re
import shutil
import sys
import tempfile
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from lifeboat import reading
from lifeboat.stage import failures

ROOM = 32_000_000
"""Bytes that the folder for temporary files has to have: an index of git, a receipt, a part."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = ("LOGNAME", "USER", "LNAME", "USERNAME")
"""Variables that `getpass` asks before it asks the system."""
_NOTES = "DVC_SITE_CACHE_DIR"
"""Where DVC keeps what it knows of all projects of a machine; its own choice is that of Linux."""


def begin_again() -> None:
    """Starts this process anew, under its own number, where Python began it in the wrong way.

    In another encoding than UTF-8 each file that is read and each path that is printed may fail;
    what PYTHONPATH puts before the environment is imported instead of it.
    """
    wanted = dict(os.environ)
    if locale.getpreferredencoding(False).lower() not in ("utf-8", "utf8"):
        wanted["PYTHONUTF8"] = "1"
    if hiding := failures.shadowing():
        kept = [one for one in wanted["PYTHONPATH"].split(os.pathsep) if one not in hiding]
        wanted["PYTHONPATH"] = os.pathsep.join(kept)
    if wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)


def settle(root: Path) -> None:
    """Gives this process what it lacks; what cannot be had is said and stops nothing."""
    if not _has_entry():
        if not any(os.environ.get(name) for name in _USER):
            os.environ["USER"] = f"uid{os.getuid()}"
        os.environ.setdefault("HOME", str(root / ".cache" / "home"))
    if root.is_dir() and not _has_room(root):
        own = root / ".cache" / "tmp"
        with contextlib.suppress(OSError):
            own.mkdir(parents=True, exist_ok=True)
            tempfile.tempdir = os.environ["TMPDIR"] = str(own)
    if not _may_make(Path(os.environ.get(_NOTES) or "/var/tmp/dvc") / "repo"):  # noqa: S108
        os.environ[_NOTES] = str(root / ".cache" / "dvc")
    load_accounts(root)


def load_accounts(root: Path) -> None:
    """Sets variables of `.env` that this process does not have; an empty value counts as none.

    The file is read as data: nothing in it is run or expanded. Where it cannot be read, that is
    said, and what needs no account goes on.
    """
    for name, value in accounts(root / ".env").items():
        if value and not os.environ.get(name):
            os.environ[name] = value


def accounts(path: Path) -> dict[str, str]:
    """The variables of a file such as `.env`; none where it cannot be read, which is said.

    UTF-8, also with a mark in front, and UTF-16 are text; a byte that is neither stays as it is.
    """
    try:
        data = reading.read(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        print(f"warning: no account is set: {failures.sentence(error)}.", file=sys.stderr)
        return {}
    values = dotenv_values(stream=StringIO(text_of(data)), interpolate=False)
    return {name: value for name, value in values.items() if value and _NAME.fullmatch(name)}


def text_of(data: bytes) -> str:
    """The text of a file that any editor has written."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "surrogateescape").replace("\0", "")


def is_plain(data: bytes) -> bool:
    """Whether every program reads a file as the same text: UTF-8 without a mark in front."""
    with contextlib.suppress(UnicodeDecodeError):
        return not data.startswith(b"\xef\xbb\xbf") and "\0" not in data.decode()
    return False


def _has_entry() -> bool:
    """Whether the system knows a name for this user; elsewhere than on Unix it always does."""
    try:
        import pwd
    except ImportError:
        return True
    try:
        return bool(pwd.getpwuid(os.getuid()))
    except KeyError:
        return False


def _may_make(folder: Path) -> bool:
    """Whether a folder is there and may be written, or can be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def _has_room(root: Path) -> bool:
    """Whether there is a folder for temporary files that has as much room as they need.

    A folder on the project's own disk counts in any case: there is no other to turn to.
    """
    try:
        folder = Path(tempfile.gettempdir())
        is_elsewhere = folder.stat().st_dev != root.stat().st_dev
        return not is_elsewhere or shutil.disk_usage(folder).free >= ROOM
    except OSError:
        return False
