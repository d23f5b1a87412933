"""Runs notebooks as they are committed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backtracking import PROJECT_ROOT

NOTEBOOKS = sorted((PROJECT_ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
OUTSIDE = (".git", ".dvc")
"""Folders into which others may write meanwhile."""


def run_notebook(path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the cells of a notebook give out in a project, on its own source; nothing is written."""
    import nbformat  # compiles grammars for seconds, in every process of the tests
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    notebook = nbformat.read(path, as_version=4)
    with _unchanged(root):
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(root)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def count(outputs: list[dict[str, Any]], kind: str) -> int:
    """How many outputs have a form of this MIME type."""
    return sum(kind in output.get("data", {}) for output in outputs)


@contextmanager
def _unchanged(root: Path) -> Iterator[None]:
    before = _files(root)
    yield
    assert _files(root) == before


def _files(root: Path) -> dict[str, int]:
    return {
        os.path.relpath(path, root): path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in OUTSIDE
    }
