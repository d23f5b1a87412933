"""Tests that bear the marker `kind`: what docs/reliability.md says of each."""

from pathlib import Path
from typing import Any

import pytest

COLLECTED = pytest.StashKey[list[pytest.Item]]()
"""All tests of a run, also those that it does not take."""


def row(item: pytest.Item) -> dict[str, Any]:
    """The kind of a test, what it says, and with which member; nothing where it bears no marker."""
    marker = item.get_closest_marker("kind")
    if marker is None:
        return {}
    words = item.name.partition("[")[0].removeprefix("test_").replace("_", " ")
    callspec = getattr(item, "callspec", None)
    return {"kind": marker.args[0], "says": words, "member": callspec.id if callspec else ""}


def files(folder: Path) -> set[Path]:
    """The files with such tests."""
    found = folder.rglob("test_*.py")
    return {path for path in found if "pytest.mark.kind(" in path.read_text()}
