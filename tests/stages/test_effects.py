"""What was measured is judged again in seconds: no torch, no weights, at another level."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from steered_study import write_steered
from tiny_study import PAIR, write_study

from backtracking.runtime.workspace import Workspace
from backtracking.stages import effects, steer
from lifeboat.stage import artifacts

WITHOUT_TORCH = (
    "import sys; from backtracking.stages import effects; effects.main(sys.argv[1:]);"
    "loaded = {'torch', 'transformers'} & set(sys.modules); assert not loaded, loaded"
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study of two models that was steered, whose weights are gone afterwards."""
    study = write_study(9, splits=("test", "train", "dev"))
    workspace = write_steered(tmp_path_factory.mktemp("effects"), study, PAIR)
    steer.main(["--root", str(workspace.root)])
    for weights in workspace.root.glob("models/*/*.safetensors"):
        weights.unlink()
    return workspace


def tables(workspace: Workspace) -> dict[str, Any]:
    folder = workspace.results("effects")
    return {str(p.relative_to(folder)): artifacts.read_json(p) for p in folder.glob("*/*.json")}


def test_tables_are_made_without_torch_and_without_weights(measured: Workspace) -> None:
    effects.main(["--root", str(measured.root)])
    expected = tables(measured)
    command = [sys.executable, "-c", WITHOUT_TORCH, "--root", str(measured.root)]
    subprocess.run(command, check=True)
    assert tables(measured) == expected and expected["steer/forced.json"]


def test_a_source_that_did_not_run_has_no_tables(measured: Workspace) -> None:
    effects.main(["--root", str(measured.root)])
    found = {Path(name).parts[0] for name in tables(measured)}
    assert found == {name for name, one in effects.SOURCES.items() if one.stage == "steer"}


def test_another_level_changes_intervals_and_no_value(measured: Workspace) -> None:
    effects.main(["--root", str(measured.root)])
    before = tables(measured)["steer/forced.json"]
    text = measured.params.read_text()
    assert "  level: 0.95" in text
    measured.params.write_text(text.replace("  level: 0.95", "  level: 0.5"))
    effects.main(["--root", str(measured.root)])
    after = tables(measured)["steer/forced.json"]
    measured.params.write_text(text)
    assert [row["value"] for row in after] == [row["value"] for row in before]
    narrower = [
        b["high"] - b["low"] - a["high"] + a["low"] for a, b in zip(after, before, strict=True)
    ]
    assert min(narrower) >= 0 and max(narrower) > 0
