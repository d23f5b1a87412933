"""The data side of a push: what DVC sent, what the remote has, and what is saved nowhere."""

import sys
from pathlib import Path

from lifeboat import processes
from lifeboat.deadlines import Deadline
from lifeboat.items import Item
from lifeboat.proof import expected as expectations
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import open_bucket
from lifeboat.saving import finished, unsaved
from lifeboat.stage.errors import UserError


def push(root: Path) -> list[Item]:
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
    sent = finished.send(root, finished.lost(before), expected, bucket, deadline)
    proof = finished.prove(root, before, [sent], bucket, deadline)
    return finished.items(proof)


def _unsaved(fact: str) -> Item:
    return Item(fact, "wrong", "Data is not saved.")
