"""DVC's hashes of files and folders, as dvc.lock has them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path


def of_bytes(data: bytes) -> str:
    """Of a file: its MD5."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def of_folder(hash_by_path: Mapping[str, str]) -> str:
    """Of a folder: that of the list of its files, by their paths in it."""
    rows = [{"md5": hash_by_path[path], "relpath": path} for path in sorted(hash_by_path)]
    return f"{of_bytes(json.dumps(rows).encode())}.dir"


def of_path(path: Path) -> str:
    """Of a file or folder that is there."""
    if not path.is_dir():
        return of_bytes(path.read_bytes())
    files = (one for one in path.rglob("*") if one.is_file())
    return of_folder({one.relative_to(path).as_posix(): of_path(one) for one in files})
