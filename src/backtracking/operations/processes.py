"""git and DVC as child processes, with the environment that every child of ours gets."""

import os
import subprocess
import sys
from pathlib import Path

DVC = (sys.executable, "-m", "dvc")


def environment(root: Path) -> dict[str, str]:
    """The environment of a child: `python` is this one, caches lie in `.cache/`.

    Values that are set already win over the defaults for the cache folders.
    """
    cache = root / ".cache"
    caches = {
        "HF_HOME": str(cache / "huggingface"),
        "TORCH_HOME": str(cache / "torch"),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**caches, **os.environ, "DVC_NO_ANALYTICS": "1", "PATH": path}


def run(
    command: list[str], root: Path, given: str = "", *, shown: bool = False
) -> subprocess.CompletedProcess[str]:
    """A finished child process run in `root`, with `given` as its input and its output captured.

    With `shown`, what it says on stderr (progress, errors) goes to ours instead.
    """
    return subprocess.run(
        command,
        check=False,
        cwd=root,
        env=environment(root),
        input=given,
        stdout=subprocess.PIPE,
        stderr=None if shown else subprocess.PIPE,
        text=True,
        errors="replace",
    )


def git(root: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """A finished `git` in `root`; paths are printed as they are, without quoting."""
    return run(["git", "-c", "core.quotePath=false", *arguments], root, given)


def git_line(root: Path, *arguments: str) -> str:
    """What `git` answers, or nothing where it fails."""
    finished = git(root, *arguments)
    return finished.stdout.strip() if finished.returncode == 0 else ""


def dvc(root: Path, *arguments: str, shown: bool = False) -> subprocess.CompletedProcess[str]:
    """A finished `dvc` of this very environment in `root`."""
    return run([*DVC, *arguments], root, shown=shown)


def last_lines(finished: subprocess.CompletedProcess[str], count: int = 2) -> str:
    """The end of what a failed child said, in one line."""
    said = ((finished.stderr or "").strip() or finished.stdout.strip()).splitlines()
    said = [line.strip() for line in said if line.strip()]
    return " / ".join(said[-count:]).rstrip(".") or f"exit {finished.returncode}"
