"""Notebooks that read models, traces and activations, on the tiny study."""

from pathlib import Path

import pytest
from notebook_runs import NOTEBOOKS, count, run_notebook

FIGURES = {"02_steer": 1, "03_your_own": 1, "04_store": 1, "05_labels": 1}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel's own client
@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end_and_writes_nothing(
    path: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    outputs = run_notebook(path, project, monkeypatch)
    assert count(outputs, "image/png") == FIGURES[path.stem]
    assert count(outputs, "text/markdown") >= 1
