"""Stages that begin as forks of a process that has imported what they are slow to import.

`reproduce` keeps such a process (`lifeboat.running.preloading`) while it runs. A stage asks it to
run in its place, before it has imported anything slow itself. The fork has the stage's files,
folder, variables and path of modules; it gets the signals that the stage gets, dies with it, and
the stage ends as it does. Where there is no such process, a stage runs by itself.
"""

import atexit
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from types import FrameType
from typing import NoReturn

VARIABLE = "LIFEBOAT_PRELOADED"
"""Where the process listens, in the environment of stages."""

READY = b"+"
"""What it says to a stage that it runs."""

LENGTH = 4
"""Bytes of a number on the way."""

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Start:
    """A process of `python -m` as it begins.

    Attributes:
        module: what is run.
        arguments: those of `sys.argv`.
        folder: the one that it runs in.
        path: where modules are looked for.
        variables: its environment.
    """

    module: str
    arguments: list[str]
    folder: str
    path: list[str]
    variables: dict[str, str]


def hand_over() -> None:
    """Runs this process's module in a fork of the process that `reproduce` keeps, and ends as it.

    Returns where there is none, or where that one takes no stage such as this.
    """
    address, words = os.environ.pop(VARIABLE, ""), sys.orig_argv
    if not address or "-m" not in words:
        return
    module = words[words.index("-m") + 1]
    start = Start(module, sys.argv, os.getcwd(), sys.path, dict(os.environ))
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        if _is_taken(server, start):
            _follow(server)


def end_with_parent(number: int) -> None:
    """Has the kernel send a signal to this process when its parent is gone (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _is_taken(server: socket.socket, start: Start) -> bool:
    end_with_parent(signal.SIGTERM)
    told = json.dumps(asdict(start)).encode()
    socket.send_fds(server, [len(told).to_bytes(LENGTH, "big")], [0, 1, 2])
    server.sendall(told)
    return server.recv(1) == READY


def _follow(server: socket.socket) -> NoReturn:
    """Passes signals on to the fork, and ends with its code or by its signal."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            server.sendall(bytes([number]))

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    try:
        code = int.from_bytes(received(server, LENGTH), "big", signed=True)
    except OSError:  # so the fork ends, too
        code = -signal.SIGTERM
    if code < 0:
        with contextlib.suppress(OSError):  # nothing can be said of SIGKILL
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code % 256)


def received(pipe: socket.socket, n_bytes: int) -> bytes:
    """So many bytes.

    Raises:
        OSError: where the other end is gone.
    """
    found = b""
    while len(found) < n_bytes:
        if not (more := pipe.recv(n_bytes - len(found))):
            raise ConnectionError("The other end is gone.")
        found += more
    return found


def leave(code: str | int | None) -> NoReturn:
    """Ends this process as `multiprocessing` ends a fork, with all that is registered for the end.

    To take apart what was imported would take a second more, and give nothing back.
    """
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
