"""What is finished, sent while the rest is being made: outs, the lock, and parts of what runs.

A look costs a listing of the store's folders, git's of .dvc files, and a few file times. Only
what has changed since the last look is followed by any work, and what the remote has is not hashed
again.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifeboat import project
from lifeboat.deadlines import Deadline
from lifeboat.git import refs, wip
from lifeboat.items import counted, megabytes
from lifeboat.proof import expected as expectations
from lifeboat.proof import inspection, pipeline, targets
from lifeboat.proof.expected import WORKSPACE, Expected, Out, stamp
from lifeboat.proof.inspection import Finding
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import sending, unfinished
from lifeboat.saving.jobs import Job
from lifeboat.steps import Steps

CODE_EVERY_S = 300.0
"""Seconds between two looks for edits in code and parameters, which no stage announces."""

RETRY_S = (1.0, 30.0)
"""Seconds after which what a remote did not take is tried again: at first, and at most."""

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

    Data goes before the lock that names it, and the parts that it is made of stay saved until it is
    there: at any moment what has arrived is enough to go on from.

    Args:
        root: the project.
        say: prints a line: one for each thing that is saved, and for what could not be.
        given: cuts the sending short.
    """

    def __init__(self, root: Path, say: Callable[[str], None], given: threading.Event) -> None:
        self._root, self._say, self._given = root, say, given
        self._store = project.store(root)
        self._deadline = Until(given=given)
        self._bucket: Bucket | None = None
        self._expected: Expected | None = None
        self._recorded: dict[str, _Stamp] = {}
        self._files: dict[str, _Stamp] = {}
        self._saved_outs: set[tuple[str, str]] = set()
        self._saved_parts: dict[str, str] = {}
        self._commit, self._code_at, self._retry_at = "", -math.inf, -math.inf
        self._pause_s = RETRY_S[0]
        self._failures: list[str] = []
        self._told: dict[str, list[str]] = {}

    def run(self, every_s: float) -> None:
        """Looks again and again, until the event."""
        while not self._given.is_set():
            if time.monotonic() >= self._retry_at:
                self._attempt(self.look)
            self._given.wait(every_s)

    def look(self) -> None:
        """Sends what is new now; what could not be sent is told, and tried again later."""
        recorded, files = _recorded(self._root), _files(self._store)
        is_new, self._failures = recorded != self._recorded, []
        if is_new:
            self._attempt(self._send_outs)
        if is_new or time.monotonic() >= self._code_at:
            self._attempt(self._send_code)
        if is_new or files != self._files:
            self._attempt(self._send_parts)
        if self._failures:
            self._retry_at = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, RETRY_S[1])
        else:
            self._pause_s = RETRY_S[0]
            self._recorded, self._files = recorded, files
        self._complain("data", self._failures)

    def unsent(self) -> list[str]:
        """What has changed since all that there was had been sent."""
        now = _recorded(self._root) | _files(self._store)
        then = self._recorded | self._files
        return [name for name, each in now.items() if then.get(name) != each]

    def _attempt(self, step: Callable[[], None]) -> None:
        """Takes a step; one that fails, however it does, keeps neither the others nor the next."""
        steps = Steps()
        steps.attempt("", step)
        for item in steps.items:
            self._failures.append(f"{item.fact} {item.cure}".strip())
            self._bucket = None

    def _send_outs(self) -> None:
        """Sends finished outs that the remote lacks."""
        self._expected = expectations.read(self._root)
        self._complain("pipeline", list(self._expected.problems), "NOT SAVED as it stands")
        outs = [
            out
            for out in self._expected.outs
            if WORKSPACE in out.places and (out.path, out.oid) not in self._saved_outs
        ]
        if not outs:
            return
        paths = [out.path for out in outs]
        found = inspection.inspect(self._root, self._expected, self._open(), paths)
        lacking = [one for one in (*found.missing, *found.wrong) if WORKSPACE in one.places]
        lost = [one for one in lacking if not self._is_here(one)]
        broken = {out.path for out in outs if any(_holds(out, one.path) for one in lost)}
        whole = [out for out in outs if out.path not in broken]
        here = [one for one in lacking if any(_holds(out, one.path) for out in whole)]
        sent = sending.send(here, self._expected, self._root, self._open(), self._deadline)
        for out in whole:
            if not any(_holds(out, job.path) for job, _reason in sent.left):
                self._saved_outs.add((out.path, out.oid))
                size = f", {megabytes(out.bytes)}" if out.bytes is not None else ""
                self._say(f"saved {out.path} of {out.stage}{size}")
        self._note_failures(sent.left)
        stages = dict.fromkeys(one.stage for one in lost)
        reasons = [f"{', '.join(stages)}: recorded, and neither here nor there"] if stages else []
        self._complain("elsewhere", reasons, "NOT SAVED until they run again")

    def _is_here(self, finding: Finding) -> bool:
        """Whether there is anything on this machine that could be sent."""
        assert self._expected is not None
        return self._expected.cached(finding.oid).is_file() or (self._root / finding.path).is_file()

    def _send_code(self) -> None:
        """Pushes a commit of the working tree, dvc.lock with it, beside the branch."""
        saved = wip.save(self._root, aside=True)
        pushed = refs.push(self._root, saved, self._deadline)
        wrong = [item.fact for item in (*saved.items, *pushed.items) if item.verdict == "wrong"]
        self._complain("code", wrong)
        if pushed.proven and pushed.commit != self._commit:
            self._say(f"saved commit {pushed.commit[:7]} on {pushed.branch}")
        self._commit = pushed.commit
        self._code_at = time.monotonic() + (CODE_EVERY_S if pushed.proven else 2 * RETRY_S[1])

    def _send_parts(self) -> None:
        """Sends units and steps of unfinished stages."""
        if self._expected is None:
            self._expected = expectations.read(self._root)
        kept = unfinished.save(self._root, self._expected, self._open(), self._deadline)
        new = [part for part in kept.parts if self._saved_parts.get(part.path) != part.sha256]
        for stage in dict.fromkeys(part.stage for part in new):
            own = [part for part in new if part.stage == stage]
            what = own[0].path if len(own) == 1 else counted(len(own), "file")
            self._say(f"saved {what} of {stage}, {megabytes(sum(part.bytes for part in own))}")
        self._saved_parts = {part.path: part.sha256 for part in kept.parts}
        self._note_failures(kept.left)

    def _open(self) -> Bucket:
        if self._bucket is None:
            self._bucket = open_bucket(self._root)
        return self._bucket

    def _note_failures(self, left: Sequence[tuple[Job, str]]) -> None:
        self._failures += [f"{job.path} of {job.stage}: {reason}" for job, reason in left]

    def _complain(
        self, kind: str, reasons: list[str], verdict: str = "NOT SAVED, will be tried again"
    ) -> None:
        """Says what is not saved, each thing once for as long as it lasts."""
        for reason in reasons:
            if reason not in self._told.get(kind, ()) and not self._given.is_set():
                self._say(f"{verdict}: {reason}")
        self._told[kind] = reasons


def _holds(out: Out, path: str) -> bool:
    """Whether a path is an out or inside it."""
    return path == out.path or targets.is_in(path, out.path)


def _recorded(root: Path) -> dict[str, _Stamp]:
    """Stamps of the files that say which stages are finished, and which data was added."""
    names = ("dvc.lock", "dvc.yaml", *pipeline.added(root))
    return {name: now for name in names if (now := stamp(root / name))}


def _files(store: Path) -> dict[str, _Stamp]:
    """Stamps of the files in the store's folders, but for hidden ones."""
    found: dict[str, _Stamp] = {}
    for folder, folders, names in os.walk(store):
        folders[:] = [name for name in folders if name[0] != "."]
        paths = [Path(folder) / name for name in names if name[0] != "." and folder != str(store)]
        found |= {str(path.relative_to(store)): now for path in paths if (now := stamp(path))}
    return found
