"""Files that need not be there, read in bounded time whatever stands in their place."""

import errno
import os
import select
import time
from pathlib import Path

WAIT_S = 3.0
"""So long a named pipe may take: a password manager that writes `.env` so answers at once."""

MAX_BYTES = 1_000_000
"""No more is read of what has no end."""


def read(path: Path) -> bytes:
    """The bytes of a file; what is written into a named pipe within `WAIT_S`.

    Raises:
        OSError: where it cannot be read, and for a pipe that nobody writes.
    """
    if not (path.is_fifo() or path.is_char_device()):
        return path.read_bytes()
    ends, data = time.monotonic() + WAIT_S, b""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        while len(data) < MAX_BYTES and select.select([file], [], [], _left(ends))[0]:
            block = file.read(MAX_BYTES)
            if not block:
                return data
            data += block
    raise TimeoutError(errno.ETIMEDOUT, "a pipe or device that did not end in time", str(path))


def _left(ends: float) -> float:
    return max(0.0, ends - time.monotonic())
