"""Objects sent one by one to a remote, beside whatever else runs: no lock of DVC is ever taken.

What is small and cannot be made again goes first. Nothing is sent whose bytes do not hash to its
name, a folder's list goes after its files, and what did not make it is named with the reason.
"""

import contextlib
import hashlib
import heapq
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from backtracking.errors import UserError
from backtracking.operations import manifests
from backtracking.operations.bucket import Bucket
from backtracking.operations.deadlines import Deadline
from backtracking.operations.expected import Expected
from backtracking.operations.store_errors import StoreError

JOBS = 8
"""Objects on their way at the same time."""

_RANKS = ("results/", "models/", "data/processed/", "data/raw/", "data/interim/traces")
BULK = len(_RANKS)
"""The rank of what is large and can be computed again."""

_HOPELESS = ("credentials", "expired", "denied", "no bucket", "clock", "region", "support")
_PAUSES = (1.0, 4.0)
_IN_A_ROW = 8
_CHUNK = 2**20
_STALE_S = 3600


@dataclass(frozen=True)
class Job:
    """One thing to send.

    Attributes:
        name: key by which others wait for it.
        path: what it is, in words that the user knows.
        stage: whose it is.
        rank: what goes before what.
        bytes: its size.
        send: sends it and returns when the remote has it; a UserError says why it could not.
        after: names of what has to be there before it.
    """

    name: str
    path: str
    stage: str
    rank: int
    bytes: int
    send: Callable[[], None]
    after: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sent:
    """How a sending ended.

    Attributes:
        done: what arrived.
        left: what did not, and why.
    """

    done: tuple[Job, ...]
    left: tuple[tuple[Job, str], ...]


@dataclass(frozen=True)
class Hashed:
    """A file that does not change while it is sent.

    Attributes:
        path: the file.
        bytes: its size.
        md5: of its content.
        sha256: of its content.
    """

    path: Path
    bytes: int
    md5: str
    sha256: str


@runtime_checkable
class Lost(Protocol):
    """An object that a remote should have: its key, its file and its stage."""

    @property
    def oid(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def stage(self) -> str: ...


def send(
    objects: Iterable[Lost], expected: Expected, root: Path, bucket: Bucket, deadline: Deadline
) -> Sent:
    """Sends objects that verify found missing or wrong, from DVC's cache or the workspace."""
    sweep(root / ".dvc" / "tmp")
    return run(object_jobs(objects, expected, root, bucket), deadline)


def object_jobs(
    objects: Iterable[Lost], expected: Expected, root: Path, bucket: Bucket
) -> list[Job]:
    """What sends these objects, each once; a folder's list waits for those of its files."""
    path_by_oid: dict[str, Lost] = {}
    for found in objects:
        path_by_oid.setdefault(found.oid, found)
    files = [found for oid, found in path_by_oid.items() if not oid.endswith(".dir")]
    lists = [found for oid, found in path_by_oid.items() if oid.endswith(".dir")]
    jobs = [_object_job(found, expected, root, bucket) for found in files]
    for found in lists:
        members = _members(found, expected) & path_by_oid.keys()
        jobs.append(_object_job(found, expected, root, bucket, frozenset(members)))
    return jobs


def sweep(folder: Path) -> None:
    """Removes links that a killed sending left in a folder an hour ago or earlier."""
    for path in folder.glob("sending.*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_S:
                shutil.rmtree(path, ignore_errors=True)


def run(jobs: Sequence[Job], deadline: Deadline, n_threads: int = JOBS) -> Sent:
    """Does jobs in order of rank and size, until all are done or there is no time for the next.

    The threads do not keep the process alive: what hangs at the deadline is left behind and named.
    """
    queue = _Queue(jobs, deadline)
    for _ in range(min(n_threads, len(jobs))):
        threading.Thread(target=queue.work, name="sending", daemon=True).start()
    return queue.wait()


def require_arrived(hashed: Hashed, bucket: Bucket, key: str) -> None:
    """Sends a file and compares what the store then says with what was sent.

    Raises:
        UserError: where it failed, also after waiting a little, or something else arrived.
    """
    for pause in (*_PAUSES, None):
        try:
            stored = bucket.put(hashed.path, key)
            break
        except StoreError as error:
            if pause is None or error.kind in _HOPELESS:
                raise
            time.sleep(pause)
    else:
        raise AssertionError("the last attempt returns or raises")
    if stored.bytes != hashed.bytes or (stored.md5 or hashed.md5) != hashed.md5:
        raise UserError(f"{bucket.url} has something else than what was sent.")


@contextmanager
def frozen(path: Path, folder: Path) -> Iterator[Hashed]:
    """A file that may be replaced at any time, as it is now: a link to it, hashed.

    Writers of this project never open a file that is there; they replace it. So a link keeps the
    bytes, and costs none.

    Args:
        path: the file.
        folder: on the same disk, for the link; a copy where links are impossible.

    Raises:
        OSError: where the file is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="sending.") as own:
        link = Path(own) / "file"
        try:
            os.link(path, link)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(path, link)
        yield hash_file(link)


def hash_file(path: Path) -> Hashed:
    """A file's size and both of its hashes, read once.

    Raises:
        OSError: where it cannot be read.
    """
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    n_bytes = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
            n_bytes += len(chunk)
    return Hashed(path, n_bytes, md5.hexdigest(), sha256.hexdigest())


def rank_of(path: str) -> int:
    """What goes before what: results, weights, then what took long to make, then the rest."""
    return next((n for n, start in enumerate(_RANKS) if path.startswith(start)), BULK)


def _object_job(
    found: Lost,
    expected: Expected,
    root: Path,
    bucket: Bucket,
    after: frozenset[str] = frozenset(),
) -> Job:
    cached, file = expected.cached(found.oid), root / found.path

    def act() -> None:
        with _intact(found, cached, file, root / ".dvc" / "tmp") as hashed:
            require_arrived(hashed, bucket, manifests.key(found.oid))

    n_bytes = next((path.stat().st_size for path in (cached, file) if path.is_file()), 0)
    return Job(found.oid, found.path, found.stage, rank_of(found.path), n_bytes, act, after)


@contextmanager
def _intact(found: Lost, cached: Path, file: Path, folder: Path) -> Iterator[Hashed]:
    """What has the bytes that an object's key promises: DVC's cache, or the workspace."""
    hashed, oid = None, found.oid.removesuffix(".dir")
    with contextlib.suppress(OSError):
        hashed = hash_file(cached)
    if hashed and hashed.md5 == oid:
        yield hashed
        return
    with contextlib.ExitStack() as stack:
        here = None
        with contextlib.suppress(OSError):
            here = stack.enter_context(frozen(file, folder)) if file.is_file() else None
        if here and here.md5 == oid:
            yield here
            return
    if not hashed:
        raise UserError("it is not in DVC's cache, and the workspace has none or another.")
    raise UserError(
        f"{cached} does not hash to its name: it was changed after it was made.",
        f"Remove it, and run `dvc --wait-for-lock repro {found.stage}`.",
    )


def _members(found: Lost, expected: Expected) -> set[str]:
    with contextlib.suppress(OSError, UserError):
        data = expected.cached(found.oid).read_bytes()
        return {entry.oid for entry in manifests.entries(found.oid, data)}
    return set()


class _Queue:
    """Jobs that several threads share; a job becomes ready when what it waits for is done."""

    def __init__(self, jobs: Sequence[Job], deadline: Deadline) -> None:
        self._jobs, self._deadline = jobs, deadline
        self._changed = threading.Condition()
        self._ready: list[tuple[int, int, int]] = []
        self._waiting = {number: set(job.after) for number, job in enumerate(jobs) if job.after}
        self._reasons: dict[int, str] = {}
        self._done: set[int] = set()
        self._begun: set[int] = set()
        self._rate = 0.0
        self._n_failed_in_a_row = 0
        self._stop = ""
        for number, job in enumerate(jobs):
            if not job.after:
                self._push(number)

    def work(self) -> None:
        """Does jobs until there is none to begin."""
        while (number := self._take()) is not None:
            job, start = self._jobs[number], time.monotonic()
            try:
                job.send()
            except StoreError as error:
                self._stumble(error)
                self._fail(number, str(error))
            except (UserError, OSError) as error:
                self._fail(number, str(error))
            except BaseException as error:
                self._fail(number, f"{type(error).__name__}: {error}")
                raise
            else:
                self._finish(number, time.monotonic() - start)

    def wait(self) -> Sent:
        """Waits for all threads or for the deadline."""
        with self._changed:
            while not self._is_over() and not self._deadline.passed:
                self._changed.wait(min(self._deadline.left, 0.5))
            self._stop = self._stop or "there was no time left for it"
            return self._outcome()

    def _take(self) -> int | None:
        with self._changed:
            while True:
                while self._ready and not self._stop:
                    *_, number = heapq.heappop(self._ready)
                    if self._fits(number):
                        self._begun.add(number)
                        return number
                if self._stop or not self._begun - self._done - self._reasons.keys():
                    return None
                self._changed.wait(0.5)

    def _fits(self, number: int) -> bool:
        needed = self._jobs[number].bytes / self._rate if self._rate else 0.0
        left = self._deadline.left
        if needed <= left and left > 0:
            return True
        self._reasons[number] = f"it takes about {needed:.0f} s, and {left:.0f} s were left"
        self._changed.notify_all()
        return False

    def _push(self, number: int) -> None:
        job = self._jobs[number]
        heapq.heappush(self._ready, (-1 if job.after else job.rank, job.bytes, number))

    def _finish(self, number: int, seconds: float) -> None:
        with self._changed:
            job = self._jobs[number]
            self._done.add(number)
            self._n_failed_in_a_row = 0
            if job.bytes >= _CHUNK:
                self._rate = job.bytes / max(seconds, 1e-3)
            for other, names in list(self._waiting.items()):
                names.discard(job.name)
                if not names:
                    del self._waiting[other]
                    self._push(other)
            self._changed.notify_all()

    def _fail(self, number: int, reason: str) -> None:
        with self._changed:
            self._reasons[number] = reason
            self._changed.notify_all()

    def _stumble(self, error: StoreError) -> None:
        """Stops it all where the remote will not take anything else either."""
        with self._changed:
            self._n_failed_in_a_row += 1
            if error.kind in _HOPELESS or self._n_failed_in_a_row >= _IN_A_ROW:
                self._stop = self._stop or f"not tried, after another failed: {error}"

    def _is_over(self) -> bool:
        n_ended = len(self._done) + len(self._reasons)
        is_idle = not self._begun - self._done - self._reasons.keys()
        return n_ended + len(self._waiting) == len(self._jobs) or (bool(self._stop) and is_idle)

    def _outcome(self) -> Sent:
        left = []
        for number, job in enumerate(self._jobs):
            if number in self._done:
                continue
            reason = self._reasons.get(number) or self._stop
            if number in self._waiting:
                reason = f"{len(self._waiting[number])} of its files are not there"
            elif number in self._begun and number not in self._reasons:
                reason = "it was on its way when the time was up"
            left.append((job, reason))
        done = tuple(self._jobs[number] for number in sorted(self._done))
        return Sent(done, tuple(left))
