"""git and DVC as child processes, with the environment that every child of ours gets.

What git says is bytes: names of files need not be text, and come as Python keeps such names
(`os.fsdecode`), so that they lead back to the same files.
"""

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lifeboat.stage.errors import UserError

Finished: TypeAlias = subprocess.CompletedProcess[str]

DVC = (sys.executable, "-m", "dvc")
GIT = (
    "git",
    *("-c", "core.quotePath=false", "-c", "color.ui=false", "-c", "column.ui=never"),
    *("-c", "log.showSignature=false", "-c", "core.fsmonitor=false"),
    *("-c", "core.untrackedCache=false", "-c", "push.recurseSubmodules=no"),
    *("-c", "diff.ignoreSubmodules=none", "-c", "i18n.logOutputEncoding=utf-8"),
    *("-c", "i18n.commitEncoding=utf-8"),
)
"""git without the user's settings that change what it answers, or let it not look itself."""

_GIT_MAY_SAY = (
    *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
    *("GIT_CONFIG_", "GIT_SSH", "GIT_SSL_", "GIT_HTTP_"),
    *("GIT_PROXY_", "GIT_PROTOCOL", "GIT_ALLOW_PROTOCOL", "GIT_ASKPASS", "GIT_TERMINAL_PROMPT"),
    *("GIT_EXEC_PATH", "GIT_DISCOVERY_ACROSS_FILESYSTEM"),
)
"""Beginnings of git's variables that say who commits, how a remote is reached and which settings
there are. All others (GIT_DIR, GIT_INDEX_FILE, ...) send git to another repository, another index
or other files, as in a hook, or in a shell that is set up for something else; and a date there is
not that of a backup."""

_DIED = 128
"""The exit code of a git that cannot go on."""

WAITING_S = 10.0
"""After so long it is said what is being waited for."""


def environment(root: Path) -> dict[str, str]:
    """The environment of a child: `python` is this one, caches lie in `.cache/`.

    Values that are set already win over the defaults for the cache folders. A git that only asks
    does not write the user's index, works in the repository of its folder alone, sees what a push
    would send (and not what `git replace` has put before it), and speaks the language in which its
    reasons are known here.
    """
    cache = root / ".cache"
    caches = {
        "HF_HOME": str(cache / "huggingface"),
        "TORCH_HOME": str(cache / "torch"),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {"DVC_NO_ANALYTICS": "1", "LANGUAGE": "en", "PATH": path}
    own |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1"}
    kept = dict(os.environ)
    forget_other_repositories(kept)
    return {**caches, **kept, **own}


def forget_other_repositories(variables: MutableMapping[str, str]) -> None:
    """Takes away what sends git, and DVC, elsewhere than into the repository of their folder."""
    for name in [name for name in variables if name.startswith("GIT_")]:
        if not name.startswith(_GIT_MAY_SAY):
            del variables[name]


def of_hook() -> dict[str, str]:
    """What git tells a hook of the commit that it is called for, such as its index."""
    return {name: value for name, value in os.environ.items() if name.startswith("GIT_")}


def run(
    command: list[str],
    root: Path,
    given: str = "",
    *,
    shown: bool = False,
    extra: Mapping[str, str] | None = None,
) -> Finished:
    """A finished child process run in `root`, with `given` as its input and its output captured.

    With `shown`, what it says on stderr (progress, errors) goes to ours instead. `extra` comes on
    top of the environment.
    """
    done = subprocess.run(
        command,
        check=False,
        cwd=root,
        env={**environment(root), **(extra or {})},
        input=os.fsencode(given),
        stdout=subprocess.PIPE,
        stderr=None if shown else subprocess.PIPE,
    )
    said = os.fsdecode(done.stderr or b"")
    return subprocess.CompletedProcess(command, done.returncode, os.fsdecode(done.stdout), said)


def git(
    root: Path, *arguments: str, given: str = "", extra: Mapping[str, str] | None = None
) -> Finished:
    """A finished `git` in `root`; paths are printed as they are, without quoting.

    Where git cannot read the user's index it has one that is like HEAD, see `stand_in`.
    """
    own = {**index_variables(root), **(extra or {})}
    done = run([*GIT, *arguments], root, given, extra=own)
    if done.returncode == _DIED and "GIT_INDEX_FILE" not in own and stand_in(root):
        return git(root, *arguments, given=given, extra=extra)
    return done


@dataclass(frozen=True)
class StandIn:
    """An index that holds what HEAD does, for git in the place of one that it cannot read.

    Attributes:
        path: where it is.
        index: the user's.
        said: what git says of that.
        changed: when that was last changed.
    """

    path: Path
    index: Path
    said: str
    changed: int


_stand_ins: dict[Path, StandIn] = {}
_standing_in = threading.Lock()


def stand_in(root: Path) -> StandIn | None:
    """What git has in the place of the user's index; None where it can read that.

    The user's stays as it is. Whoever mends it has it back.
    """
    with _standing_in:
        top = _checkout(root)
        if top is None or index_variables(root):
            return _stand_ins[top] if top else None
        asked = run([*GIT, "ls-files", "--", ".gitignore"], root)
        named = run([*GIT, "rev-parse", "--git-path", "index"], root)
        if asked.returncode == 0 or named.returncode != 0:
            return None
        index = root / named.stdout.removesuffix("\n")
        folder = Path(tempfile.mkdtemp(prefix="lifeboat-index-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        made = StandIn(folder / "index", index, last_lines(asked), _changed(index))
        _fill(root, made)
        _stand_ins[top] = made
        return made


def index_variables(root: Path) -> dict[str, str]:
    """The variable by which git has another index than the user's, where it needs one."""
    found = _stand_ins.get(_checkout(root) or root) if _stand_ins else None
    if found is None or _changed(found.index) != found.changed:
        return {}
    return {"GIT_INDEX_FILE": str(found.path)}


def _fill(root: Path, made: StandIn) -> None:
    """Puts into an index what HEAD has; in a sparse checkout what is not there is not deleted."""
    own = {"GIT_INDEX_FILE": str(made.path)}
    if run([*GIT, "read-tree", "HEAD"], root, extra=own).returncode != 0:
        run([*GIT, "read-tree", "--empty"], root, extra=own)
    sparse = run([*GIT, "config", "--type=bool", "core.sparseCheckout"], root).stdout
    if sparse.strip() == "true":
        absent = run([*GIT, "ls-files", "--deleted", "-z"], root, extra=own).stdout
        words = ("update-index", "--skip-worktree", "-z", "--stdin")
        run([*GIT, *words], root, absent, extra=own)


def _checkout(root: Path) -> Path | None:
    """The folder with `.git` that a folder lies in."""
    folders = (root.absolute(), *root.absolute().parents)
    return next((each for each in folders if os.path.lexists(each / ".git")), None)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def require_repository(root: Path) -> Path:
    """The top of the repository; refuses a folder in which git does not work, with the way out.

    Raises:
        UserError: where it is no git repository, or one that git does not trust or cannot read.
    """
    asked = git(root, "rev-parse", "--show-toplevel")
    if asked.returncode == 0:
        top = Path(asked.stdout.removesuffix("\n"))
        if not root.resolve().is_relative_to(top.resolve()):
            cure = "See `git config --show-origin core.worktree`, and take it away."
            raise UserError(f"git's settings lead it from {root} to the files of {top}.", cure)
        return top
    if "dubious ownership" in asked.stderr:
        fact = f"git does not work in {root}, because it belongs to another user."
        cure = f"Run `git config --global --add safe.directory {shlex.quote(str(root))}`"
        raise UserError(fact, f"{cure}, if you trust what is in it, or become its owner.")
    if is_in_git(root):
        raise UserError(f"git cannot read the repository of {root}: {last_lines(asked)}.")
    raise UserError(f"{root} is not a git repository.", "Clone it with git.")


def is_in_git(root: Path) -> bool:
    """Whether a folder lies in a git repository, also in one in which git refuses to work."""
    return _checkout(root) is not None


@contextmanager
def told_while_waiting(what: str) -> Iterator[None]:
    """Says on stderr what is being waited for, where that takes long: it may ask somebody."""
    said = f"Still waiting for {what}."
    timer = threading.Timer(WAITING_S, lambda: print(said, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def git_diff(root: Path, *arguments: str) -> Finished:
    """A finished `git diff` that leaves the index alone; git's own freshens it on the way.

    Where the copy that it reads cannot have the index's time, which git goes by, it is git's own.
    """
    index = root / git_line(root, "rev-parse", "--git-path", "index")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "index"
        try:
            if index.is_file():
                shutil.copy2(index, copy)
        except OSError:
            return git(root, "diff", *arguments)
        return git(root, "diff", *arguments, extra={"GIT_INDEX_FILE": str(copy)})


def git_line(root: Path, *arguments: str) -> str:
    """What `git` answers, or nothing where it fails."""
    finished = git(root, *arguments)
    return finished.stdout.strip() if finished.returncode == 0 else ""


def git_id(root: Path, name: str) -> str:
    """The full id of what has a name in git, such as `HEAD^{tree}`; empty where nothing has it."""
    return git_line(root, "rev-parse", "--verify", "--quiet", name)


def dvc(root: Path, *arguments: str, shown: bool = False) -> Finished:
    """A finished `dvc` of this very environment in `root`."""
    return run([*DVC, *arguments], root, shown=shown)


def last_lines(finished: Finished, count: int = 2) -> str:
    """The end of what a failed child said, in one line."""
    said = ((finished.stderr or "").strip() or finished.stdout.strip()).splitlines()
    said = [line.strip() for line in said if line.strip()]
    return " / ".join(said[-count:]).rstrip(".") or f"exit {finished.returncode}"
