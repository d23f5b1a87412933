"""`lifeboat watch`: what is finished leaves the machine as it is made, and all on a notice.

A thread sends; the main thread asks for notices. On a notice the sending is cut short and backup
runs, which stops the stages where their work is saved. SIGTERM is such a notice: RunPod, Slurm and
Kubernetes give it. Ctrl-C only ends the watch.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TextIO

from lifeboat import steps
from lifeboat.deadlines import Deadline
from lifeboat.items import Item, some
from lifeboat.saving import backup
from lifeboat.stage import failures, redaction
from lifeboat.watching.forwarding import Forwarder
from lifeboat.watching.notices import Notice, Source

POLL_S = 5.0
"""Seconds between two questions for a notice, as AWS advises."""

_PATIENCE_S = 3.0
_MARGIN_S = 5.0


@dataclass(frozen=True)
class Options:
    """How to watch.

    Attributes:
        sources: what may give a notice, besides SIGTERM.
        every_s: seconds between two looks for something new.
        deadline_s: seconds that a backup may take after a notice.
        say: prints a line.
    """

    sources: Sequence[Source]
    every_s: float
    deadline_s: float
    say: Callable[[str], None]


def watch(root: Path, options: Options) -> list[Item]:
    """Sends what is finished until a notice or Ctrl-C; then what is saved and what is not.

    Raises:
        UserError: where `root` is no project whose work could be saved.
    """
    given = threading.Event()
    forwarder = Forwarder(root, options.say, given)
    worker = threading.Thread(
        target=forwarder.run, args=(options.every_s,), name="forwarding", daemon=True
    )
    with _on_sigterm(given) as is_terminated:
        try:
            worker.start()
            notice = _wait(options, given, is_terminated)
            deadline = Deadline.after(_seconds(notice, options.deadline_s))
            options.say(f"NOTICE: {notice.said}. Backing up within {deadline.left:.0f} s.")
            given.set()
            worker.join(min(_PATIENCE_S, deadline.left / 4))
            return backup.backup(root, seconds=deadline.left, stop=True)
        except KeyboardInterrupt:
            given.set()
            return _ended(forwarder)
        finally:
            for source in options.sources:
                with contextlib.suppress(OSError):
                    source.close()


def say_on(stream: TextIO) -> Callable[[str], None]:
    """Prints lines on a stream, with the time and without secrets.

    That the terminal is gone, or nobody reads on, ends no watch.
    """

    def say(text: str) -> None:
        with contextlib.suppress(Exception):
            line = f"{time.strftime('%H:%M:%S')}  {redaction.redact(text)}"
            print(line, file=stream, flush=True)

    return say


def _wait(options: Options, given: threading.Event, is_terminated: Callable[[], bool]) -> Notice:
    """The first notice that comes. What cannot be asked is told when that changes."""
    told: dict[str, str] = {}
    while True:
        if is_terminated():
            return Notice("this process was sent SIGTERM")
        for source in options.sources:
            failure = ""
            try:
                if notice := source.ask():
                    return notice
            except steps.ENDINGS:
                raise
            except BaseException as error:  # whatever it is, others may still give notice
                failure = failures.sentence(error)
            if failure != told.get(source.name, ""):
                options.say(f"{source.name}: {failure or 'it answers again'}.")
                told[source.name] = failure
        given.wait(POLL_S)


def _seconds(notice: Notice, deadline_s: float) -> float:
    """Time for a backup: what the user said, or less where the notice leaves less."""
    if notice.seconds is None:
        return deadline_s
    return min(deadline_s, max(notice.seconds - _MARGIN_S, _MARGIN_S))


def _ended(forwarder: Forwarder) -> list[Item]:
    """What is told of a watch that Ctrl-C ended, without a backup."""
    unsent = forwarder.unsent()
    if not unsent:
        return [Item("Ended. All that was finished is sent; `lifeboat backup` proves it.")]
    fact = f"Ended. NOT SENT: {some(unsent, 5)}."
    return [Item(fact, "wrong", "Run `lifeboat backup`.")]


@contextmanager
def _on_sigterm(given: threading.Event) -> Iterator[Callable[[], bool]]:
    """SIGTERM sets an event; whether it has come."""
    came = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        came.set()
        given.set()

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
