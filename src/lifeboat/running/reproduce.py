"""`lifeboat reproduce`: `dvc repro` as it is, and at the end how long each stage took.

`logs/reproduce.json` has the times of the last run, `logs/stage_seconds.json` the last time of
every stage that finished, over all runs.

On a terminal DVC and its stages get a terminal of their own, so that bars are bars; otherwise a
pipe. Either way every byte is passed on as it comes.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from lifeboat import processes, project
from lifeboat.git import lock_file
from lifeboat.items import Item, counted, proven
from lifeboat.running import preloading, stage_seconds
from lifeboat.stage import artifacts
from lifeboat.steps import Steps

_RUNNING = re.compile(rb"Running stage '([^']+)':")
_STOPPED = re.compile(rb"exited with (?:75|-15|-2|143|130)\b|interrupted by the user")
"""What DVC says of a stage that was interrupted: by itself, or before or after it could hear it."""

_ASKED = (-signal.SIGTERM, -signal.SIGINT)
"""How DVC itself ends where it was asked to between two stages."""


@dataclass
class StageClock:
    """Times of stages, from the lines in which DVC announces them.

    A stage's time runs from its announcement to the next one, or to the end, so it includes DVC's
    own hashing and linking of its outs.

    Attributes:
        now: the clock, in seconds.
        starts: (stage, seconds) of every announcement.
        stopped: whether DVC said that it, or a stage, was interrupted.
    """

    now: Callable[[], float] = time.monotonic
    starts: list[tuple[str, float]] = field(default_factory=list)
    stopped: bool = False
    _line: bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Takes some output, cut anywhere."""
        *lines, self._line = (self._line + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if found := _RUNNING.search(line):
                self.starts.append((found[1].decode(), self.now()))
            self.stopped = self.stopped or bool(_STOPPED.search(line))

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, up to now for the last one."""
        if not self.starts:
            return {}
        ends = [start for _stage, start in self.starts[1:]] + [self.now()]
        return {stage: end - start for (stage, start), end in zip(self.starts, ends, strict=True)}


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        seconds: time by stage, for the stages that ran.
        endings: what to say about it all.
        code: 0; 75 where it was interrupted; else 1.
    """

    seconds: dict[str, float]
    endings: list[Item]
    code: int


def reproduce(root: Path, arguments: list[str]) -> Outcome:
    """Runs `dvc --wait-for-lock repro` and takes the time of each stage that runs.

    Raises:
        UserError: where dvc.lock is cut off.
    """
    lock_file.require_whole(root)
    clock = StageClock()
    begin = time.monotonic()
    command = [*processes.DVC, "--wait-for-lock", "repro", *arguments]
    with preloading.variables(root) as further:
        environment = {**processes.environment(root), **further}
        code = _stream(command, root, environment, clock.feed)
    clock.feed(b"\n")
    code = 75 if (code != 0 and clock.stopped) or code in _ASKED else code
    seconds = clock.seconds()
    total = time.monotonic() - begin
    rounded = {stage: round(value, 1) for stage, value in seconds.items()}
    last = clock.starts[-1][0] if code != 0 and clock.starts else None
    steps, times = Steps(), {"exit": code, "seconds": rounded}
    path = root / "logs" / "reproduce.json"
    steps.attempt("Keeping the times", lambda: artifacts.write_json(path, times))
    steps.attempt("Keeping the times", lambda: stage_seconds.add(root, rounded, last))
    endings = [*steps.items, _ending(code, len(seconds), total), *_to_open(root, code)]
    return Outcome(rounded, endings, 75 if code == 75 else int(not proven(endings)))


def _ending(code: int, n_ran: int, total: float) -> Item:
    if code == 75:
        return Item("Interrupted.", "wrong", "Run it again: it goes on from there.")
    if code != 0:
        cure = "Mend what is said above, then run it again: it goes on from there."
        return Item(f"`dvc repro` failed (exit {code}) after {total:.1f} s.", "wrong", cure)
    if n_ran == 0:
        return Item(f"Nothing ran: every stage is up to date ({total:.1f} s).")
    return Item(f"{counted(n_ran, 'stage')} ran, {total:.1f} s in all, DVC's own work included.")


def _to_open(root: Path, code: int) -> list[Item]:
    """Where what was found is to be seen, as the project says it."""
    page = project.contract(root).opens if code == 0 else ""
    return [Item(f"To look at: {root / page}")] if page and (root / page).is_file() else []


def _stream(
    command: list[str], root: Path, environment: Mapping[str, str], feed: Callable[[bytes], None]
) -> int:
    if sys.stdout.isatty() and sys.stdin.isatty():
        return _on_terminal(command, root, environment, feed)
    asked: list[int] = []
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as child:

        def ask(number: int, _frame: FrameType | None) -> None:
            asked.append(number)
            child.send_signal(signal.SIGTERM)

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            code = _pass_on(child, feed)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return 75 if asked else code


def _pass_on(child: subprocess.Popen[bytes], feed: Callable[[bytes], None]) -> int:
    assert child.stdout is not None
    while chunk := os.read(child.stdout.fileno(), 65536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        feed(chunk)
    return child.wait()


def _on_terminal(
    command: list[str], root: Path, environment: Mapping[str, str], feed: Callable[[bytes], None]
) -> int:
    import pty
    import termios

    size = termios.tcgetwinsize(sys.stdout.fileno())

    def read(descriptor: int) -> bytes:
        termios.tcsetwinsize(descriptor, size)
        chunk = os.read(descriptor, 65536)
        feed(chunk)
        return chunk

    os.environ.update(environment)
    os.chdir(root)
    return os.waitstatus_to_exitcode(pty.spawn(command, read))
