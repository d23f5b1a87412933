"""The name under which a machine's unfinished work lies in the remote."""

import contextlib
import hashlib
import os
import re
import secrets
import socket
from pathlib import Path

from lifeboat.stage import artifacts

_ID = re.compile(r"[0-9a-f]{16}")


def name(store: Path) -> str:
    """A random id kept in the store, and a hash of the host's name.

    Machines that were started from one disk image have the same id, and usually not the same name.
    """
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f"{_id(store / 'machine')}-{host}"


def _id(path: Path) -> str:
    """The id in a file, written there where it is missing; of several writers the first wins."""
    for _ in range(2):
        with contextlib.suppress(OSError):
            if _ID.fullmatch(found := path.read_text().strip()):
                return found
            path.unlink()
        fresh = path.with_name(f".machine.{os.getpid()}.{secrets.token_hex(4)}")
        artifacts.write_text(fresh, secrets.token_hex(8) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return path.read_text().strip()
