"""`lifeboat push`: code to git, data to the DVC remote, and the truth about both."""

import sys
import time
from pathlib import Path

from lifeboat import processes
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, index, wip
from lifeboat.items import Item
from lifeboat.proof import expected as expectations
from lifeboat.proof import held
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import open_bucket
from lifeboat.saving import finished, sending, unsaved
from lifeboat.steps import Steps


def push(root: Path, message: str = "") -> list[Item]:
    """Commits and pushes code, params, metrics and lock, pushes data, and says what was not saved.

    Data goes also where the commit was refused or the code has nowhere to go: each saves what it
    can. Every change that git does not ignore is committed, what was staged by hand with it.

    Raises:
        UserError: where `root` is not a git repository, or git cannot be asked.
    """
    steps, refused = Steps(), dict[str, str]()
    steps.require("Asking git where this checkout stands", lambda: wip.head(root))
    began = steps.attempt("Looking at the clock", lambda: wip.clock(root)) or 0.0
    title = message or f"Work of {time.strftime('%Y-%m-%d %H:%M')}"
    steps.add("Reading git's index", lambda: index.unreadable(root))
    steps.add("The commit", lambda: commit.commit(root, title, refused=refused))
    steps.add("Pushing code", lambda: commit.push(root))
    steps.add("Comparing the files with the commit", lambda: _compare(root, began, refused))
    steps.add("Pushing data", lambda: push_data(root))
    return steps.items


def _compare(root: Path, began: float, refused: dict[str, str]) -> list[Item]:
    """What the commit that was pushed holds of the files that are there."""
    head = processes.git_id(root, "HEAD")
    if not head:
        return []
    branch = wip.head(root).branch
    return held.items(root, wip.Saved(head, branch, [], frozenset(refused), began))


def push_data(root: Path) -> list[Item]:
    """`dvc push` to the default remote, then a look of our own at what the remote holds.

    DVC's "up to date" is not relied on: it is said also of data that is in neither place. What it
    believes is there and is not, is sent after it, object by object.
    """
    where = remote.default(root)
    if where is None:
        return [remote.item(root), Item("There is no DVC remote.", "wrong", "Data is not saved.")]
    steps = Steps()
    steps.add("`dvc push`", lambda: _dvc_push(root, where.url))
    steps.add("Sending the rest", lambda: _send_the_rest(root))
    steps.add("Comparing the workspace with dvc.lock", lambda: unsaved.items(root, []))
    steps.add("The remote", lambda: remote.survival(root, where))
    return steps.items


def _dvc_push(root: Path, url: str) -> list[Item]:
    sent = processes.dvc(root, "--wait-for-lock", "push", shown=sys.stderr.isatty())
    if sent.returncode == 0:
        return []
    fact = f"`dvc push` to {url} failed: {processes.last_lines(sent)}."
    return [Item(fact, "warning", "What it left was sent without it, as far as it went.")]


def _send_the_rest(root: Path) -> list[Item]:
    bucket, expected, deadline = open_bucket(root), expectations.read(root), Deadline()
    before = finished.look(root, expected, bucket, deadline)
    sent = sending.send(finished.lost(before), expected, root, bucket, deadline)
    proof = finished.prove(root, before, [sent], bucket, deadline)
    return finished.items(proof)
