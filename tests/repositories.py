"""git as tests use it: a real one, in temporary folders."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from lifeboat.items import Item


def git(root: Path, *arguments: str) -> str:
    """What `git` prints; its exit code must be 0."""
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def remote_of(root: Path) -> Path:
    """A new bare repository beside `root`, as its remote `origin`."""
    there = root.parent / "there.git"
    git(root.parent, "init", "--quiet", "--bare", there.name)
    git(root, "remote", "add", "origin", str(there))
    return there


def facts(found: Iterable[Item], verdict: str) -> str:
    """The facts of one verdict, a line each."""
    return "\n".join(item.fact for item in found if item.verdict == verdict)
