"""Notebooks as they are committed; the first runs on the checkout's results, or on invented."""

import json
import shutil
from pathlib import Path

import pytest
from notebook_runs import NOTEBOOKS, count, run_notebook
from synthetic_results import write_results

from backtracking import PROJECT_ROOT


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_committed_without_outputs_and_opens_with_its_question(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    assert "".join(cells[0]["source"]).splitlines()[0].endswith("?")
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_reads_by_our_api_and_names_no_file_of_the_study(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    code = "".join(line for one in cells if one["cell_type"] == "code" for line in one["source"])
    for name in (".csv", ".safetensors", "results/", "data/", "models/", "read_text", "json.load"):
        assert name not in code


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel's own client
@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "invented"])
def test_the_finding_is_told_from_results_alone(
    is_committed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT_ROOT / "src", root / "src", ignore=ignored)
    if not is_committed:
        write_results(root)
    else:
        for name in ("results", "figures", "benchmarks"):
            ignored = shutil.ignore_patterns("*.jsonl", "*.safetensors", "__pycache__")
            shutil.copytree(PROJECT_ROOT / name, root / name, ignore=ignored)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    outputs = run_notebook(NOTEBOOKS[0], root, monkeypatch)
    assert count(outputs, "text/markdown") == 5
    assert count(outputs, "image/svg+xml") == len(list((root / "figures").glob("*.svg")))
