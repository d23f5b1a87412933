"""Stages that end with their parent, and stop at a safe point when they are asked to.

`dvc repro` passes no signal on: killed, it leaves its stage running, which then writes into outs
that DVC no longer watches. So a stage asks the kernel to be told when its parent is gone.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from lifeboat.stage.preloaded import end_with_parent

EXIT_CODE = 75
_requested = False
_has_checkpoints = False


def install() -> None:
    """Ends this process with its parent (Linux), and SIGTERM and SIGINT with exit code 75.

    Call it first in `main`. A process that has called `checkpoint` ends at the next call; one that
    has not, at once, and so does any at a second Ctrl-C. Temporary files are removed either way.
    """
    global _requested, _has_checkpoints
    _requested = _has_checkpoints = False
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _request)
    end_with_parent(signal.SIGTERM)


def requested() -> bool:
    """Whether this process was asked to stop."""
    return _requested


def checkpoint() -> None:
    """Ends the process if it was asked to stop; call it where everything done so far is saved.

    Raises:
        SystemExit: with code 75, interrupted and resumable.
    """
    global _has_checkpoints
    _has_checkpoints = True
    if _requested:
        _end()


@contextmanager
def at_checkpoints() -> Iterator[None]:
    """A context in which a request to stop waits for a checkpoint or the end of the context.

    For calls of libraries that make an ordinary error of the one that ends a process.

    Raises:
        SystemExit: with code 75, at its end, where the process was asked to stop within.
    """
    global _has_checkpoints
    before, _has_checkpoints = _has_checkpoints, True
    try:
        yield
    finally:
        _has_checkpoints = before
    if _requested and not before:
        _end()


def _request(number: int, _frame: FrameType | None) -> None:
    global _requested
    is_first, _requested = not _requested, True
    # A parent with several threads is told of several times, so a repeated SIGTERM counts once.
    if not _has_checkpoints if is_first else number == signal.SIGINT:
        _end()


def _end() -> NoReturn:
    # Not print: a signal may arrive in the middle of one.
    os.write(2, b"Interrupted. What is finished is kept; the same command goes on from there.\n")
    raise SystemExit(EXIT_CODE)
