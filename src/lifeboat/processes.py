"""git and DVC as child processes, with the environment that every child of ours gets."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

Finished: TypeAlias = subprocess.CompletedProcess[str]

DVC = (sys.executable, "-m", "dvc")


def environment(root: Path) -> dict[str, str]:
    """The environment of a child: `python` is this one, caches lie in `.cache/`.

    Values that are set already win over the defaults for the cache folders. A git that only asks
    does not write the user's index.
    """
    cache = root / ".cache"
    caches = {
        "HF_HOME": str(cache / "huggingface"),
        "TORCH_HOME": str(cache / "torch"),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {"DVC_NO_ANALYTICS": "1", "GIT_OPTIONAL_LOCKS": "0", "PATH": path}
    return {**caches, **os.environ, **own}


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
    return subprocess.run(
        command,
        check=False,
        cwd=root,
        env={**environment(root), **(extra or {})},
        input=given,
        stdout=subprocess.PIPE,
        stderr=None if shown else subprocess.PIPE,
        text=True,
        errors="replace",
    )


def git(
    root: Path, *arguments: str, given: str = "", extra: Mapping[str, str] | None = None
) -> Finished:
    """A finished `git` in `root`; paths are printed as they are, without quoting."""
    return run(["git", "-c", "core.quotePath=false", *arguments], root, given, extra=extra)


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
