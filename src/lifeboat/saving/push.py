"""`lifeboat push`: code to git, data to the DVC remote, and the truth about both."""

import sys
import time
from pathlib import Path

from lifeboat import processes
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, lock_file, wip
from lifeboat.items import Item
from lifeboat.proof import expected as expectations
from lifeboat.proof import held
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import open_bucket
from lifeboat.saving import finished, sending, unsaved
from lifeboat.stage.errors import UserError


def push(root: Path, message: str = "") -> list[Item]:
    """Commits and pushes code, params, metrics and lock, pushes data, and says what was not saved.

    Data goes also where the commit was refused or the code has nowhere to go: each saves what it
    can. Every change that git does not ignore is committed, what was staged by hand with it.

    Raises:
        UserError: where `root` is not a git repository, or git cannot be asked.
    """
    began, here = time.time(), wip.head(root)
    title = message or f"Work of {time.strftime('%Y-%m-%d %H:%M')}"
    try:
        lock_file.require_merged(root)
        code = commit.commit(root, title)
    except UserError as error:
        code = [Item(f"NOTHING WAS COMMITTED. {error}", "wrong")]
    code += commit.push(root)
    if head := processes.git_id(root, "HEAD"):
        saved = wip.Saved(head, here.branch, [], began=began)
        code += held.items(root, saved)
    return [*code, *push_data(root)]


def push_data(root: Path) -> list[Item]:
    """`dvc push` to the default remote, then a look of our own at what the remote holds.

    DVC's "up to date" is not relied on: it is said also of data that is in neither place. What it
    believes is there and is not, is sent after it, object by object.
    """
    where = remote.default(root)
    if where is None:
        return [remote.item(root), _unsaved("There is no DVC remote.")]
    sent = processes.dvc(root, "--wait-for-lock", "push", shown=sys.stderr.isatty())
    items = []
    if sent.returncode != 0:
        fact = f"`dvc push` to {where.url} failed: {processes.last_lines(sent)}."
        items.append(Item(fact, "warning", "What it left was sent without it, as far as it went."))
    try:
        items += _send_the_rest(root)
        items += unsaved.items(root, [])
    except UserError as error:
        return [*items, _unsaved(str(error))]
    return [*items, *remote.survival(root, where)]


def _send_the_rest(root: Path) -> list[Item]:
    bucket, expected, deadline = open_bucket(root), expectations.read(root), Deadline()
    before = finished.look(root, expected, bucket, deadline)
    sent = sending.send(finished.lost(before), expected, root, bucket, deadline)
    proof = finished.prove(root, before, [sent], bucket, deadline)
    return finished.items(proof)


def _unsaved(fact: str) -> Item:
    return Item(fact, "wrong", "Data is not saved.")
