"""Where files from a remote lie until they are whole; they enter their place by a rename."""

import contextlib
import os
import threading
import time
from pathlib import Path

_STALE_S = 3600


def name(folder: Path, content: str) -> Path:
    """A path in the folder that no other thread or process takes for the same content."""
    return folder / f"{content}.{os.getpid()}.{threading.get_ident()}"


def sweep(folder: Path) -> None:
    """Removes what was left there by a killed process more than an hour ago."""
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _STALE_S:
                path.unlink()


def leave(folder: Path) -> None:
    """Removes the folder, if nothing is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()
