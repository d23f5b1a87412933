"""What is finished, sent while the rest is being made: outs, the lock, and parts of what runs.

A look costs a listing of the store's folders and a few file times. Only what has changed since the
last look is followed by any work, and what the remote has is not hashed again.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backtracking.errors import UserError
from backtracking.operations import expected as expectations
from backtracking.operations import inspection, refs, sending, unfinished, wip
from backtracking.operations.bucket import Bucket, open_bucket
from backtracking.operations.deadlines import Deadline
from backtracking.operations.expected import WORKSPACE, Expected, Object, Out
from backtracking.operations.sending import Job
from backtracking.workspace import Workspace

CODE_EVERY_S = 300.0
"""Seconds between two looks for edits in code and parameters, which no stage announces."""

RETRY_S = 30.0
"""Seconds after which what a remote did not take is tried again."""

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Until(Deadline):
    """No hurry until an event happens, and then no time at all.

    Attributes:
        given: the event.
    """

    given: threading.Event = field(default_factory=threading.Event)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return 0.0 if self.given.is_set() else math.inf


class Forwarder:
    """Sends what is new since the last look.

    Data goes before the lock that names it, and parts are forgotten after that: at any moment what
    has arrived is enough to go on from.

    Args:
        root: the project.
        say: prints a line: one for each thing that is saved, and for what could not be.
        given: cuts the sending short.
    """

    def __init__(self, root: Path, say: Callable[[str], None], given: threading.Event) -> None:
        self._root, self._say, self._given = root, say, given
        self._store = Workspace(root).store
        self._deadline = Until(given=given)
        self._bucket: Bucket | None = None
        self._expected: Expected | None = None
        self._recorded: dict[str, _Stamp] = {}
        self._files: dict[str, _Stamp] = {}
        self._saved_outs: set[tuple[str, str]] = set()
        self._saved_parts: dict[str, str] = {}
        self._commit, self._code_at, self._retry_at = "", -math.inf, -math.inf
        self._complaints: set[str] = set()

    def run(self, every_s: float) -> None:
        """Looks again and again, until the event."""
        while not self._given.is_set():
            if time.monotonic() >= self._retry_at:
                self.look()
            self._given.wait(every_s)

    def look(self) -> None:
        """Sends what is new now; what could not be sent is told, and tried again later."""
        recorded, files = _recorded(self._root), _files(self._store)
        try:
            is_whole = True
            if recorded != self._recorded:
                is_whole = self._send_outs()
            if recorded != self._recorded or time.monotonic() >= self._code_at:
                self._send_code()
            if (recorded, files) != (self._recorded, self._files):
                is_whole = self._send_parts() and is_whole
        except UserError as error:
            self._complain(str(error))
            is_whole, self._bucket = False, None
        if is_whole:
            self._recorded, self._files = recorded, files
            self._complaints.clear()
        else:
            self._retry_at = time.monotonic() + RETRY_S

    def unsent(self) -> list[str]:
        """What has changed since all that there was had been sent."""
        pairs = (
            (_recorded(self._root), self._recorded),
            (_files(self._store), self._files),
        )
        return [
            name for now, then in pairs for name, stamp in now.items() if then.get(name) != stamp
        ]

    def _send_outs(self) -> bool:
        """Sends finished outs that the remote lacks; whether it has them all now."""
        self._expected = expectations.read(self._root)
        outs = [
            out
            for out in self._expected.outs
            if WORKSPACE in out.places and (out.path, out.oid) not in self._saved_outs
        ]
        if not outs:
            return True
        paths = [out.path for out in outs]
        found = inspection.inspect(self._root, self._expected, self._open(), paths)
        lacking = [
            Object(finding.oid, finding.path, finding.bytes, finding.stage)
            for finding in (*found.missing, *found.wrong)
        ]
        sent = sending.send(lacking, self._expected, self._root, self._open(), self._deadline)
        late = {job.path for job, _reason in sent.left}
        for out in outs:
            if not any(path == out.path or path.startswith(f"{out.path}/") for path in late):
                self._note_out(out)
        return self._tell_of(sent.left)

    def _note_out(self, out: Out) -> None:
        self._saved_outs.add((out.path, out.oid))
        size = f", {out.bytes / 1e6:.1f} MB" if out.bytes is not None else ""
        self._say(f"saved {out.path} of {out.stage}{size}")

    def _send_code(self) -> None:
        """Pushes a commit of the working tree, dvc.lock with it, beside the branch."""
        saved = wip.save(self._root, aside=True)
        pushed = refs.push(self._root, saved, self._deadline)
        for item in (*saved.items, *pushed.items):
            if item.verdict == "wrong":
                self._complain(item.fact)
        if pushed.proven and pushed.commit != self._commit:
            self._say(f"saved commit {pushed.commit[:7]} on {pushed.branch}")
        self._commit = pushed.commit
        self._code_at = time.monotonic() + (CODE_EVERY_S if pushed.proven else 2 * RETRY_S)

    def _send_parts(self) -> bool:
        """Sends shards and checkpoints of unfinished stages; whether the remote has them all."""
        if self._expected is None:
            self._expected = expectations.read(self._root)
        kept = unfinished.save(self._root, self._expected, self._open(), self._deadline)
        for part in kept.parts:
            if self._saved_parts.get(part.path) != part.sha256:
                self._say(f"saved {part.path} of {part.stage}, {part.bytes / 1e6:.1f} MB")
        self._saved_parts = {part.path: part.sha256 for part in kept.parts}
        return self._tell_of(kept.sent.left)

    def _open(self) -> Bucket:
        if self._bucket is None:
            self._bucket = open_bucket(self._root)
        return self._bucket

    def _tell_of(self, left: Sequence[tuple[Job, str]]) -> bool:
        """Tells of what could not be sent; whether there is nothing of the kind."""
        for job, reason in left:
            if not self._given.is_set():
                self._complain(f"{job.path} of {job.stage}: {reason}")
        return not left

    def _complain(self, reason: str) -> None:
        """Says once, until all is sent again, why something is not saved."""
        if reason not in self._complaints:
            self._complaints.add(reason)
            self._say(f"NOT SAVED, will be tried again: {reason}")


def _recorded(root: Path) -> dict[str, _Stamp]:
    """Stamps of the files that say which stages are finished."""
    names = ("dvc.lock", "dvc.yaml")
    return {name: stamp for name in names if (stamp := _stamp(root / name))}


def _files(store: Path) -> dict[str, _Stamp]:
    """Stamps of the files in the store's folders, but for hidden ones."""
    found: dict[str, _Stamp] = {}
    folders = [store]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith(".") and entry.name != ".cache":
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif folder != store and (stamp := _stamp(path)):
                found[path.relative_to(store).as_posix()] = stamp
    return found


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
