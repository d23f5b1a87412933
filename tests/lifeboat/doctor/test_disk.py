import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from backtracking import PROJECT_ROOT
from backtracking.runtime import params
from lifeboat.doctor import disk
from lifeboat.doctor.links import Links
from lifeboat.stage.errors import UserError

LINKS = Links(Path("/"), ("hardlink", "symlink"), frozenset({"hardlink", "symlink"}))
COPIES = Links(Path("/"), ("copy",), frozenset())
ACTIVATIONS = "data/interim/activations/base"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clone that has nothing yet but a lock of two outs of the study as it is."""
    shutil.copyfile(PROJECT_ROOT / "params.yaml", tmp_path / "params.yaml")
    write_lock(tmp_path, "1e-05")
    return tmp_path


def write_lock(root: Path, floor: str) -> None:
    section = params.read(root / "params.yaml")["extract"] | {"parity_floor": floor}
    lines = [f"          {key}: {'null' if v is None else v}" for key, v in section.items()]
    (root / "dvc.lock").write_text(
        "stages:\n  extract@base:\n    params:\n      params.yaml:\n        extract:\n"
        + "\n".join(lines)
        + f"\n    outs:\n    - path: {ACTIVATIONS}\n      size: 3000000000\n"
        "  probe:\n    outs:\n    - path: results/probe\n      size: 1000000000\n"
        "    - {path: results/old}\n    - nonsense\n  broken: 3\n"
    )


def free(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**13, 0, n_bytes))


def estimate(root: Path, links: Links) -> disk.Estimate:
    found = disk.recorded_estimate(root, links)
    assert found is not None
    return found


def test_what_is_missing_is_as_large_as_it_was(root: Path) -> None:
    assert estimate(root, LINKS).bytes == 4_000_000_000
    (root / "results" / "probe").mkdir(parents=True)
    assert estimate(root, LINKS).bytes == 3_000_000_000
    (root / ACTIVATIONS).mkdir(parents=True)
    assert disk.recorded_estimate(root, LINKS) == disk.Estimate(0, "every result is there")


def test_every_copy_counts_that_in_the_store_of_pieces_too(root: Path) -> None:
    (root / ".cache" / "store" / ACTIVATIONS).mkdir(parents=True)
    assert estimate(root, COPIES).bytes == 3 * 3_000_000_000 + 2 * 1_000_000_000


def test_other_parameters_and_no_lock_leave_it_open(root: Path) -> None:
    write_lock(root, "1e-04")
    assert disk.recorded_estimate(root, LINKS) is None
    (root / "dvc.lock").unlink()
    assert "is not recorded in dvc.lock" in disk.items(root, LINKS)[0].fact


@pytest.mark.parametrize(("n_bytes", "verdict"), [(9 * 10**9, "ok"), (5 * 10**9, "wrong")])
def test_the_free_space_is_compared_with_the_estimate(
    n_bytes: int, verdict: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, n_bytes)
    (item,) = disk.items(root, LINKS)
    assert item.verdict == verdict
    assert f"{n_bytes / 1e9:.1f} GB are free" in item.fact
    assert "writes about 4.0 GB (one copy of each result; sizes in dvc.lock)" in item.fact
    assert bool(item.cure) == (verdict == "wrong")


def test_a_lock_that_is_no_yaml_is_an_error(root: Path) -> None:
    (root / "dvc.lock").write_text("{")
    with pytest.raises(UserError, match="dvc.lock"):
        disk.recorded_estimate(root, LINKS)
