import json
import os
import time
from pathlib import Path

import pytest

from backtracking.runtime.workspace import Workspace
from lifeboat import items
from lifeboat.saving import store
from lifeboat.stage.errors import UserError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two shards, of which one is named, and a checkpoint; all of them old."""
    here = Workspace(tmp_path / "study")
    for name in (
        "activations/aa.safetensors",
        "activations/aa.json",
        "activations/bb.safetensors",
        "activations/bb.json",
        "activations/.cc.tmp",
        "checkpoints/dd.safetensors",
        "traces/ee.jsonl",
    ):
        path = here.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0" * 1000)
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    out = here.activations("base")
    out.mkdir(parents=True)
    manifest = {"format": 1, "units": [{"key": "aa", "file": "aa.safetensors"}], "complete": True}
    (out / "manifest.json").write_text(json.dumps(manifest))
    os.link(here.store / "activations/aa.safetensors", out / "aa.safetensors")
    return here


def left(workspace: Workspace) -> set[str]:
    files = (path for path in workspace.store.rglob("*") if path.is_file())
    return {str(path.relative_to(workspace.store)) for path in files}


def missing(monkeypatch: pytest.MonkeyPatch, *paths: str) -> None:
    monkeypatch.setattr(store, "_missing_outs", lambda _root: list(paths))


def test_what_no_manifest_names_goes_and_the_rest_stays(workspace: Workspace) -> None:
    found = store.prune(workspace)
    assert left(workspace) == {"activations/aa.safetensors", "activations/aa.json"}
    assert "Removed 5 files, 0.0 MB" in found[0].fact


def test_a_dry_run_lists_and_removes_nothing(workspace: Workspace) -> None:
    before = left(workspace)
    found = store.prune(workspace, dry_run=True)
    assert left(workspace) == before
    assert "Would remove 5 files" in found[0].fact
    assert "bb.safetensors" in found[0].fact
    assert "aa.safetensors" not in found[0].fact


def test_a_second_prune_has_nothing_to_do(workspace: Workspace) -> None:
    store.prune(workspace)
    assert "Removed 0 files" in store.prune(workspace)[0].fact


SHARD, CHECKPOINT, BATCH = (
    "activations/bb.safetensors",
    "checkpoints/dd.safetensors",
    "traces/ee.jsonl",
)


@pytest.mark.parametrize(
    ("out", "stays", "goes", "told"),
    [
        (
            "data/interim/activations/reasoning",
            SHARD,
            CHECKPOINT,
            "data/interim/activations/reasoning is missing",
        ),
        ("models/base", CHECKPOINT, SHARD, "1 checkpoints stay: models/base is missing"),
        ("data/interim/traces", BATCH, CHECKPOINT, "1 batches of traces stay"),
    ],
)
def test_parts_stay_while_what_they_become_is_missing(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    stays: str,
    goes: str,
    told: str,
) -> None:
    missing(monkeypatch, out)
    found = store.prune(workspace)
    assert stays in left(workspace)
    assert goes not in left(workspace)
    assert any(told in item.fact for item in found)
    assert items.proven(found)


def test_what_a_run_may_be_writing_now_stays(workspace: Workspace) -> None:
    os.utime(workspace.store / "activations/bb.safetensors")
    found = store.prune(workspace)
    assert "activations/bb.safetensors" in left(workspace)
    assert any("younger than an hour" in item.fact for item in found)


def test_bytes_that_are_linked_elsewhere_are_not_called_freed(
    workspace: Workspace, tmp_path: Path
) -> None:
    for name in ("bb.safetensors", "bb.json"):
        os.link(workspace.store / "activations" / name, tmp_path / name)
    assert "stay, linked from DVC's cache or an out" in store.prune(workspace)[0].fact


def test_a_manifest_that_cannot_be_read_stops_it(workspace: Workspace) -> None:
    before = left(workspace)
    (workspace.activations("base") / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match="no list of units"):
        store.prune(workspace)
    assert left(workspace) == before


def test_missing_outs_come_from_the_pipeline_itself(project: Path) -> None:
    assert store._missing_outs(project) == []
    (project / "results" / "sum" / "sum.txt").unlink()
    (project / "results" / "sum").rmdir()
    assert store._missing_outs(project) == ["results/sum"]
