"""Whether dvc.lock is whole: DVC writes it in place, a piece at a time, for as long as a second.

Who copies it just then, or finds it after DVC was killed, has its beginning only. Such a copy would
say of stages that have run that they have not, and a new machine would compute them again.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from lifeboat import processes
from lifeboat.stage.errors import UserError

NAME = "dvc.lock"
ATTEMPTS = 5

CURE = (
    "Run it again when no stage is ending. If that does not help, DVC was killed while it wrote: "
    f"take the last whole version with `git restore --source=COMMIT {NAME}`, or, where its stages "
    f"are to be forgotten, commit it with `git commit {NAME}`."
)

_READ = ("dvc.lock", "dvc.yaml", "params.yaml", "*.dvc", ".dvc/config")
"""Files that DVC reads."""

_STAGE = re.compile(r"^  ['\"]?([^\s'\":][^'\":]*)['\"]?:", re.MULTILINE)


def conflicts(root: Path, at: str = "") -> list[str]:
    """Files of DVC's that still hold both sides of a merge.

    Args:
        root: the project.
        at: a commit, empty for the working tree.
    """
    where = [at] if at else ["--untracked"]
    found = processes.git(root, "grep", "-Glz", "-e", "^<<<<<<< ", *where, "--", *_READ)
    names = filter(None, found.stdout.split("\0"))
    return sorted(name.removeprefix(f"{at}:") for name in names)


def require_merged(root: Path, at: str = "", what: str = "The pipeline") -> None:
    """Refuses files of DVC's that still hold both sides of a merge.

    Raises:
        UserError: naming them, with the ways out.
    """
    if found := conflicts(root, at):
        names = " ".join(found)
        where = f" in {at}" if at else ""
        raise UserError(
            f"{what} cannot be read: a merge CONFLICT in {', '.join(found)}{where}.",
            f"Take one side whole (`git checkout --ours {names}`, or `--theirs`; a merge that is "
            f"committed: `git restore --source=COMMIT {names}`), then `git add {names}` and "
            "`lifeboat reproduce`, which runs what the other side had; or `git merge --abort`.",
        )


def patiently() -> Iterator[None]:
    """Attempts at reading what may be being written, with pauses between them that grow."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(0.05 * 2**attempt)
        yield


def require_whole(root: Path) -> None:
    """Waits for who may be writing dvc.lock just now, and refuses one whose last line has no end.

    Raises:
        UserError: where it is the beginning of a longer one, with what brings the whole one back,
            or holds both sides of a merge.
    """
    require_merged(root)
    path = root / NAME
    for _ in patiently():
        if not path.exists() or path.read_bytes().endswith(b"\n"):
            return
    raise UserError(
        f"{NAME} is cut off in the middle: DVC was killed while it wrote.",
        f"Take the last whole version: `git restore --source=wip/BRANCH {NAME}` where `backup` or "
        f"`watch` has saved it since the last commit, else `git restore {NAME}`.",
    )


def is_cut(root: Path, commit: str, last: str) -> bool:
    """Whether the dvc.lock that git has in one place is the beginning of a longer one.

    It is where its last line has no end, or where it lacks exactly the last stages of an earlier
    version and the pipeline has not lost them. A cut between two lines of the stage that is
    recorded just then is not seen, and costs that stage alone: it runs again.

    Args:
        root: the project.
        commit: what git calls the place: a commit, a tree, or nothing for the index.
        last: the same of an earlier version, which is whole.
    """
    text = _text(root, commit, NAME)
    if text is None:
        return False
    if not text.endswith("\n"):
        return True
    now, before = _stages(text), _stages(_text(root, last, NAME) or "")
    if now != before[: len(now)]:
        return False
    lacking = {name.partition("@")[0] for name in before[len(now) :]}
    return bool(lacking & set(_stages(_text(root, commit, "dvc.yaml") or "")))


def _text(root: Path, commit: str, path: str) -> str | None:
    """A file as git has it there; None where it has none."""
    shown = processes.git(root, "show", f"{commit}:./{path}")
    return shown.stdout if shown.returncode == 0 else None


def _stages(text: str) -> list[str]:
    """The keys two spaces deep: names of stages, in their order."""
    return _STAGE.findall(text)
