"""Whether the DVC remote can be written: a small object goes there, is read back and deleted.

As a program (`python -m lifeboat.doctor.probing ROOT`) it prints `READY` once DVC is
loaded and then the item as JSON, so that a remote that hangs is told from a slow start.
"""

import contextlib
import dataclasses
import json
import secrets
import sys
import time
from pathlib import Path

from lifeboat import deadlines, processes
from lifeboat.deadlines import Deadline
from lifeboat.items import Item
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import open_bucket
from lifeboat.stage.errors import UserError

READY = "ready"


def items(root: Path, deadline: Deadline) -> list[Item]:
    """What DVC's default remote is, and whether it can be written, read and cleaned up now.

    Raises:
        UserError: where DVC's configuration cannot be read.
    """
    where = remote.default(root)
    if where is None:
        fact = "DVC has no default remote: data has nowhere to go."
        return [Item(fact, "wrong", remote.SET)]
    return [remote.item(root), ask(root, where, deadline)]


def ask(root: Path, where: remote.Remote, deadline: Deadline) -> Item:
    """`probe` in a process of its own, which ends at the deadline at the latest."""
    seconds = deadline.left
    command = [sys.executable, "-m", "lifeboat.doctor.probing", str(root)]
    source = str(Path(__file__).resolve().parents[2])
    extra = {"PYTHONPATH": source, "AWS_MAX_ATTEMPTS": "2"}
    finished = deadlines.call(command, root, deadline, extra)
    said = finished.stdout.splitlines()
    with contextlib.suppress(ValueError, IndexError, TypeError):
        return Item(**json.loads(said[-1]))
    if finished.returncode == deadlines.TIMED_OUT and READY in said:
        fact = f"DVC's remote `{where.name}` did not answer within {seconds:.0f} s."
        return Item(fact, "wrong", f"Check the network and the address {where.url}.")
    if finished.returncode == deadlines.TIMED_OUT:
        fact = f"DVC's remote was not asked: DVC took more than {seconds:.0f} s to load."
        return Item(fact, "warning", "Run it again: the second start is faster.")
    fact = f"DVC's remote could not be asked: {processes.last_lines(finished)}."
    return Item(fact, "wrong", "Install DVC and what its remote needs.")


def probe(root: Path) -> Item:
    """Writes an object of a random name to the default remote, reads it and deletes it."""
    key, data = f"doctor-{secrets.token_hex(8)}.probe", secrets.token_bytes(32)
    try:
        bucket = open_bucket(root)
        begin = time.monotonic()
        bucket.write(key, data)
        try:
            same = bucket.read(key) == data
        finally:
            bucket.remove(key)
        gone = bucket.find(key) is None
    except UserError as error:
        return Item(f"DVC's remote cannot be used: {error}", "wrong", _CURE)
    if not same:
        fact = f"{bucket.url} gave other bytes back than it was given."
        return Item(fact, "wrong", "Do not trust it with data; look at what stands in between.")
    if not gone:
        fact = f"{bucket.url} can be written, and still shows what was deleted ({key})."
        return Item(fact, "warning", "Allow deleting, or remove the probe by hand.")
    took = time.monotonic() - begin
    return Item(f"DVC's remote can be used: a probe was written, read and deleted in {took:.1f} s.")


def main(arguments: list[str]) -> None:
    """Prints `READY` and the item."""
    root = Path(arguments[0])
    with contextlib.suppress(UserError):
        open_bucket(root)  # which loads what takes its time, and asks nobody yet
    print(READY, flush=True)
    print(json.dumps(dataclasses.asdict(probe(root))))


_CURE = "Mend it (keys belong into .env), then run `lifeboat doctor` again."

if __name__ == "__main__":
    main(sys.argv[1:])
