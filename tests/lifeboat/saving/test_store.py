import os
import time
from pathlib import Path

import pytest

from lifeboat import items, project
from lifeboat.saving import store

OUT, OTHER = "data/raw/numbers", "results/sum"
HELD, UNIT, STEP, STALE, FOREIGN = (
    f"{OUT}/one",
    f"{OUT}/{'b' * 64}.{'c' * 64}.safetensors",
    f"{OTHER}/{'b' * 64}.7.{'c' * 64}.safetensors",
    f"{OTHER}/.half.12.34",
    "models/no/more",
)


@pytest.fixture
def root(project: Path) -> Path:
    """A finished project with kept pieces, all of them old; one is a file of its out as well."""
    for name in (HELD, UNIT, STEP, STALE, FOREIGN, "machine"):
        path = project / ".cache" / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0" * 1000)
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    return project


def left(root: Path) -> set[str]:
    folder = project.store(root)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files}


def remove(root: Path, out: str) -> None:
    for path in (root / out).iterdir():
        path.unlink()
    (root / out).rmdir()


def test_what_is_of_finished_outs_goes_but_for_what_they_hold(root: Path) -> None:
    assert "Would remove 4 files" in store.prune(root, dry_run=True)[0].fact
    assert len(left(root)) == 6
    found = store.prune(root)
    assert left(root) == {HELD, "machine"}
    assert "Removed 4 files, 0.0 MB" in found[0].fact
    assert "Removed 0 files" in store.prune(root)[0].fact


def test_pieces_stay_while_what_they_become_is_missing(root: Path) -> None:
    remove(root, OTHER)
    found = store.prune(root)
    assert left(root) == {HELD, STEP, STALE, "machine"}
    assert any(f"2 files stay: {OTHER} is missing" in item.fact for item in found)
    assert items.proven(found)


def test_what_a_run_may_be_writing_now_stays(root: Path) -> None:
    os.utime(project.store(root) / UNIT)
    found = store.prune(root)
    assert UNIT in left(root)
    assert any("younger than an hour" in item.fact for item in found)


def test_bytes_that_are_linked_elsewhere_are_not_called_freed(root: Path, tmp_path: Path) -> None:
    os.link(project.store(root) / UNIT, tmp_path / "elsewhere")
    assert "stay, linked from DVC's cache or an out" in store.prune(root)[0].fact
