"""DVC projects besides this one in its repository: no backup of this one sends their data."""

import os
from collections.abc import Iterable
from pathlib import Path

from lifeboat.deadlines import Deadline, within
from lifeboat.items import Item
from lifeboat.proof import expected, verify
from lifeboat.remotes import remote
from lifeboat.steps import Steps


def others(top: Path, root: Path, paths: Iterable[str]) -> list[Path]:
    """The folders of a repository and its submodules, `root` left out, that are DVC projects.

    Args:
        top: the repository.
        root: the project.
        paths: files and ignored folders in it, relative to it.
    """
    parted = (f"/{path}".partition("/.dvc/") for path in paths)
    folders = {top / before[1:] for before, found, _ in parted if found}
    return sorted(
        each for each in folders if (each / ".dvc").is_dir() and each.resolve() != root.resolve()
    )


def items(top: Path, others: list[Path], deadline: Deadline) -> list[Item]:
    """One item for each of these whose data is not proven to be in its own remote, elsewhere."""
    found = []
    for project in others:
        name, steps = os.path.relpath(project, top), Steps()
        what, share = f"Looking for the data of {name}", deadline.at_most(deadline.left / 2)
        look = lambda project=project: _verified(project)  # noqa: E731
        steps.add(what, lambda what=what, look=look, share=share: within(share, what, look))
        if wrong := [item.fact for item in steps.items if item.verdict == "wrong"]:
            fact = f"NOT SAVED: data of {name}, a DVC project of its own ({wrong[0].rstrip('.')})."
            found.append(Item(fact, "wrong", f"Run `lifeboat backup` in {name}."))
    return found


def _verified(project: Path) -> list[Item]:
    known = expected.read(project)
    there = any((project / out).exists() for out in known.stage_by_out)
    if not (there or known.outs or known.problems):
        return []
    found, where = verify.verify(project), remote.default(project)
    return [*found, *(remote.survival(project, where) if where else [])]
