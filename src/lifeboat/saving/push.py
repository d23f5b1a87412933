"""`lifeboat push`: code to git, data to the DVC remote, and the truth about both."""

import time
from pathlib import Path

from lifeboat import processes
from lifeboat.git import commit
from lifeboat.items import Item
from lifeboat.saving import data
from lifeboat.stage.errors import UserError


def push(root: Path, message: str = "") -> list[Item]:
    """Commits and pushes code, params, metrics and lock, pushes data, and says what was not saved.

    Data goes also where the commit was refused or the code has nowhere to go: each saves what it
    can. Every change that git does not ignore is committed, what was staged by hand with it.

    Raises:
        UserError: where `root` is not a git repository.
    """
    if not processes.git_line(root, "rev-parse", "--git-dir"):
        raise UserError(f"{root} is not a git repository.", "Clone it with git.")
    title = message or f"Work of {time.strftime('%Y-%m-%d %H:%M')}"
    return [*commit.commit(root, title), *commit.push(root), *data.push(root)]
