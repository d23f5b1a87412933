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


def submodule(root: Path) -> Path:
    """A submodule of the repository, whose commit is on its remote."""
    made = root.parent / "made"
    made.mkdir()
    git(made, "init", "--quiet")
    (made / "a.py").write_text("a\n")
    git(made, "add", "--all")
    git(made, "commit", "--quiet", "--message", "A")
    git(root.parent, "clone", "--quiet", "--bare", "made", "sub.git")
    url = str(root.parent / "sub.git")
    allowed = ("-c", "protocol.file.allow=always")
    git(root, *allowed, "submodule", "--quiet", "add", url, "third_party/p")
    git(root, "commit", "--quiet", "--message", "With a submodule")
    return root / "third_party" / "p"


def facts(found: Iterable[Item], verdict: str) -> str:
    """The facts of one verdict, a line each."""
    return "\n".join(item.fact for item in found if item.verdict == verdict)
