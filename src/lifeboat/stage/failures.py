"""Any error in a sentence, whoever raised it, with a cure where one is known.

Verbs, stages and steps of verbs end by it. The traceback goes to logs/errors.log, without secrets,
and to standard error with `--debug`. Needs nothing but the standard library, so that it can also
tell what else does not load.
"""

import contextlib
import errno
import os
import subprocess
import sys
import sysconfig
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from lifeboat.stage import redaction
from lifeboat.stage.errors import UserError

LOG = Path("logs") / "errors.log"

_CURE_BY_NUMBER = {
    errno.ENOSPC: "Free some space there (TMPDIR, where that is it), then run it again.",
    errno.EDQUOT: "Free some of the quota, then run it again.",
    errno.EROFS: "Mount it so that it can be written to.",
    errno.EACCES: "`ls -l` shows whose it is: this user needs to read and write it.",
    errno.EPERM: "`ls -l` shows whose it is: this user needs to read and write it.",
    errno.EMFILE: "Run `ulimit -n 4096`, then run it again.",
    errno.ENFILE: "Close some programs, then run it again.",
    errno.ENOMEM: "Free some memory, then run it again.",
    errno.EAGAIN: "The limit of processes or memory is reached: end some, then run it again.",
    errno.EIO: "That disk fails: `dmesg` tells more. Save what you can to another one.",
    errno.ESTALE: "That network disk was lost: mount it again, then run it again.",
}
_CURE_BY_TYPE: tuple[tuple[type[BaseException], str], ...] = (
    (MemoryError, "Free some memory, or take a machine that has more."),
    (ImportError, "Install the environment again (`make install`, where there is a Makefile)."),
    (UnicodeError, "Save that file as UTF-8, or give it a name in UTF-8."),
)


@dataclass
class _Setting:
    """Of this process: whose logs/ takes tracebacks, whether they are shown, what it has by now."""

    root: Path = Path()
    debug: bool = False
    kept: set[str] = field(default_factory=set)


setting = _Setting()


def fact_and_cure(error: BaseException, what: str = "") -> tuple[str, str]:
    """An error as a fact and its cure; its traceback is kept.

    Args:
        error: any.
        what: what failed by it, as the beginning of a sentence; a UserError says that itself.
    """
    fact, cure = sentence(error), ""
    if not isinstance(error, UserError):
        cure = " ".join(filter(None, [_cure(error), _keep(error)]))
        fact = f"{what} failed: {fact}" if what else fact
    elif setting.debug:
        _show(error)
    return f"{fact.rstrip('.')}.", cure


def told(error: BaseException) -> str:
    """An error as one paragraph; its traceback is kept."""
    return " ".join(fact_and_cure(error)).strip()


def sentence(error: BaseException) -> str:
    """What an error says, in one line with its type where that says more; nothing is kept."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr or error.output or ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        said = [line for line in text.splitlines() if line.strip()]
        return ": ".join([str(error).rstrip("."), *said[-1:]])
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(one) for one in (error.filename, error.filename2) if _is_path(one)]
        return ": ".join([*names, error.strerror])
    return ": ".join(filter(None, [type(error).__name__, in_line(str(error))]))


def in_line(text: str, most: int = 300) -> str:
    """A text as a part of a sentence: in one line, of bearable length, without its full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= most else f"{line[: most - 1]}…"


def tell_uncaught() -> None:
    """Whatever nobody catches in this process, an import included, is told like everything else."""
    sys.excepthook = _uncaught


def shadowing() -> list[str]:
    """Entries of PYTHONPATH that put other packages before those of this environment."""
    own = Path(sysconfig.get_path("purelib"))
    found = []
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        with contextlib.suppress(OSError):
            if Path(folder).resolve() != own.resolve():
                there = set(map(_module, os.listdir(folder)))
                found += [folder] if there & set(map(_module, os.listdir(own))) else []
    return found


def _module(name: str) -> str:
    """The module that a file or folder is; of what is none, something that no module is called."""
    stem, _, kind = name.partition(".")
    return stem if stem.isidentifier() and kind.rpartition(".")[2] in ("", "py", "so") else "."


def _is_path(value: object) -> bool:
    return isinstance(value, str | bytes | os.PathLike)


def _cure(error: BaseException) -> str:
    """What to do about it, as far as the error or one that it comes from is a known one."""
    if folders := [one for one in shadowing() if _may_be_of(error, one)]:
        named = os.pathsep.join(folders)
        return f"PYTHONPATH puts {named} before this environment: run `unset PYTHONPATH`."
    for one in chain(error):
        if isinstance(one, FileNotFoundError) and one.filename in ("git", "ssh", "/bin/sh"):
            return f"Install {one.filename}, or put it on PATH."
        if isinstance(one, KeyError) and "getpwuid" in str(one):
            return "This user has no name: run `export USER=me`."
        if isinstance(one, OSError) and (cure := _CURE_BY_NUMBER.get(one.errno or 0)):
            return cure
        if cure := next((cure for kind, cure in _CURE_BY_TYPE if isinstance(one, kind)), ""):
            return cure
    return ""


def _may_be_of(error: BaseException, folder: str) -> bool:
    """Whether what a folder of PYTHONPATH holds may be why: what is not there, or raised in it."""
    links = list(chain(error))
    files = [frame.filename for one in links for frame in traceback.extract_tb(one.__traceback__)]
    is_absent = any(isinstance(one, ImportError | AttributeError) for one in links)
    return is_absent or any(file.startswith(os.path.abspath(folder)) for file in files)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it comes from."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _keep(error: BaseException) -> str:
    """Adds a traceback to the log; where it is, in a sentence."""
    if setting.debug:
        _show(error)
        return ""
    path, whole = setting.root / LOG, "".join(traceback.format_exception(error))
    with contextlib.suppress(Exception):  # a full disk may be why
        if whole not in setting.kept:
            path.parent.mkdir(exist_ok=True)
            head = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {' '.join(sys.argv)}"
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(redaction.redact(f"{head}\n{whole}\n"))
            setting.kept.add(whole)
        return f"{LOG} has the whole of it."
    return "`--debug` shows where."


def _show(error: BaseException) -> None:
    traceback.print_exception(error, file=sys.stderr)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, Exception):
        print(f"error: {told(error)}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
