"""The data side of a push: what DVC sent, what the remote has, and what is saved nowhere."""

import json
import sys
from pathlib import Path
from typing import Any

from backtracking.errors import UserError
from backtracking.operations import outs, processes, remote
from backtracking.operations.items import Item


def push(root: Path) -> list[Item]:
    """`dvc push` to the default remote, then a look of our own at what the remote holds.

    DVC's "up to date" is not relied on (it is said also of data that is in neither place): every
    object that dvc.lock names is asked for by its key. Contents are not hashed again.
    """
    where = remote.default(root)
    if where is None:
        return [remote.item(root), _unsaved("There is no DVC remote.")]
    sent = processes.dvc(root, "--wait-for-lock", "push", shown=sys.stderr.isatty())
    if sent.returncode != 0:
        return [_unsaved(f"`dvc push` to {where.url} failed: {processes.last_lines(sent)}.")]
    try:
        expected, present = outs.expectations(root)
        items = _presence_items(expected, present, where.url)
        items += _workspace_items(_changes(root), expected)
    except UserError as error:
        return [_unsaved(str(error))]
    if remote.on_this_disk(where, root):
        items.append(_loud(where))
    elif where.is_folder:
        items.append(remote.item(root))
    return items


def _presence_items(expected: list[outs.Expected], present: set[str], url: str) -> list[Item]:
    """What the remote has and lacks of what dvc.lock and .dvc files name."""
    wanted = {oid for out in expected for oid in out.oids}
    if not wanted:
        return [_unsaved("dvc.lock names no data at all.")]
    share = f"{len(wanted & present)} of" if wanted - present else "All"
    fact = f"{share} {len(wanted)} objects that dvc.lock names are in {url}"
    items = [Item(f"{fact} (asked key by key; contents not hashed again).")]
    return items + [item for out in expected if (item := _lost(out, present, url))]


def _lost(out: outs.Expected, present: set[str], url: str) -> Item | None:
    absent = len(set(out.oids) - present)
    if out.readable and not absent:
        return None
    found = f"{absent} of its {len(out.oids)} objects" if out.readable else "its list of files"
    return Item(
        f"`{out.path}` of stage `{out.stage}` is NOT SAVED: {url} lacks {found}.",
        "wrong",
        "Run `make reproduce` or `dvc checkout`, then push again.",
    )


def _changes(root: Path) -> dict[str, list[Any]]:
    """What differs from dvc.lock, by stage, as DVC tells it."""
    status = processes.dvc(root, "--wait-for-lock", "status", "--json")
    try:
        return json.loads(status.stdout)
    except ValueError:
        said = processes.last_lines(status)
        raise UserError(f"DVC cannot say which stages are finished: {said}.") from None


def _workspace_items(
    changes_by_stage: dict[str, list[Any]], expected: list[outs.Expected]
) -> list[Item]:
    """Outs that were never finished or are not what dvc.lock records, and stages out of date."""
    unfinished = sorted({out.stage for out in expected if not out.oids})
    held = {out.path for out in expected}
    altered = sorted(p for c in changes_by_stage.values() for p in _altered(c) if p in held)
    outdated = sorted(
        stage
        for stage, changes in changes_by_stage.items()
        if stage not in unfinished and any("changed outs" not in change for change in changes)
    )
    cure = "Run `make reproduce`, then push again."
    items = []
    if unfinished:
        fact = "nothing of them is saved, nor what a killed run left in .cache/store"
        items.append(Item(f"Never finished: {', '.join(unfinished)}; {fact}.", "wrong", cure))
    if altered:
        fact = f"NOT SAVED, because it is not what dvc.lock records: {', '.join(altered)}."
        items.append(Item(fact, "wrong", cure))
    if outdated:
        fact = f"Out of date: {', '.join(outdated)}; only the last finished run can be saved."
        items.append(Item(fact, "warning", cure))
    return items


def _altered(changes: list[Any]) -> list[str]:
    outs_ = next((c["changed outs"] for c in changes if "changed outs" in c), {})
    return [path for path, state in outs_.items() if state in ("modified", "new")]


def _loud(where: remote.Remote) -> Item:
    return Item(
        f"THE DATA IS ONLY ON THIS MACHINE: the DVC remote `{where.name}` is {where.folder}, and "
        "goes when the machine goes.",
        "wrong",
        "Run `backtracking remote set s3://BUCKET/PATH`, then push again.",
    )


def _unsaved(fact: str) -> Item:
    return Item(fact, "wrong", "Data is not saved.")
