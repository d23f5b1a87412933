"""Notebooks run as they are committed: on the checkout's results, or on invented ones."""

import json
import os
import shutil
from pathlib import Path

import pytest
from synthetic_results import write_results

from backtracking import PROJECT_ROOT

NOTEBOOKS = sorted((PROJECT_ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel's own client
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_to_its_end_and_writes_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat  # compiles grammars for seconds, in every process of the tests
    from nbclient import NotebookClient

    root = tmp_path / "project"
    shutil.copytree(
        PROJECT_ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__")
    )
    if (PROJECT_ROOT / "results" / "summary.json").is_file():
        for name in ("summary.json", "claims.json", "tables"):
            _copy(PROJECT_ROOT / "results" / name, root / "results" / name)
    else:
        write_results(root)
    before = _files(root)
    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(root)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert _files(root) == before


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)


def _files(root: Path) -> dict[str, int]:
    return {
        os.path.relpath(path, root): path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file()
    }
