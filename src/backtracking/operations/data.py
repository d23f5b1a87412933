"""The data side of a push: what DVC sent, what the remote has, and what is saved nowhere."""

import sys
from pathlib import Path

from backtracking.errors import UserError
from backtracking.operations import processes, remote, unsaved, verify
from backtracking.operations.bucket import open_bucket
from backtracking.operations.items import Item


def push(root: Path) -> list[Item]:
    """`dvc push` to the default remote, then a look of our own at what the remote holds.

    DVC's "up to date" is not relied on: it is said also of data that is in neither place.
    """
    where = remote.default(root)
    if where is None:
        return [remote.item(root), _unsaved("There is no DVC remote.")]
    sent = processes.dvc(root, "--wait-for-lock", "push", shown=sys.stderr.isatty())
    if sent.returncode != 0:
        return [_unsaved(f"`dvc push` to {where.url} failed: {processes.last_lines(sent)}.")]
    try:
        items = verify.told(verify.check(root, None, open_bucket(root)))
        items += unsaved.items(root, [])
    except UserError as error:
        return [_unsaved(str(error))]
    if remote.on_this_disk(where, root):
        items.append(_loud(where))
    elif where.is_folder:
        items.append(remote.item(root))
    return items


def _loud(where: remote.Remote) -> Item:
    return Item(
        f"THE DATA IS ONLY ON THIS MACHINE: the DVC remote `{where.name}` is {where.folder}, and "
        "goes when the machine goes.",
        "wrong",
        "Run `backtracking remote set s3://BUCKET/PATH`, then push again.",
    )


def _unsaved(fact: str) -> Item:
    return Item(fact, "wrong", "Data is not saved.")
