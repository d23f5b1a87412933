"""Data that `dvc add`, `dvc import-url` and their like brought in, committed or not, is data."""

import subprocess
from pathlib import Path

import members
import pytest
from project import call
from repositories import facts
from servers import Place

from lifeboat import items
from lifeboat.items import proven
from lifeboat.proof import expected, verify
from lifeboat.proof.inspection import Verified
from lifeboat.remotes.bucket import open_bucket
from lifeboat.restoring import fetching, restore

pytestmark = pytest.mark.kind(8)

WAYS: dict[str, tuple[str, str, list[str]]] = {
    "dvc add of a file": ("add x.csv", "x.csv", []),
    "dvc add of a folder": ("add x", "x", ["x/one", "x/in/two"]),
    "dvc add of what has another language's name": ("add données.csv", "données.csv", []),
    "dvc import-url": ("import-url {outside} x.csv", "x.csv", []),
    "dvc import-url of a folder": ("import-url {outside}.d x", "x", ["x/one"]),
    "dvc add below": ("add in/x.csv", "in/x.csv", []),
}
"""How data comes in, beside the folder of data; its path, and what else is in it."""


@pytest.fixture
def root(project: Path, tmp_path: Path) -> Path:
    """A project whose git ignores all data but .dvc files, as this one's does."""
    (project / ".gitignore").write_text("/data/*/*\n!/data/*/*.dvc\n!/data/*/in/\n/results/*/\n")
    call(project, "git", "commit", "--quiet", "--all", "--message", "Ignored")
    (tmp_path / "outside").write_text("from elsewhere\n")
    (tmp_path / "outside.d").mkdir()
    (tmp_path / "outside.d" / "one").write_text("from elsewhere, too\n")
    Place("folder", str(tmp_path / "remote")).fill(project / ".dvc" / "cache")
    return project


def bring_in(root: Path, way: str, *options: str) -> str:
    """The path of the data that has come in."""
    command, path, inside = WAYS[way]
    for name in (inside or [path]) if command.startswith("add") else []:
        place = root / "data" / "raw" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{name}\n")
    verb, *names = command.format(outside=root.parent / "outside").split()
    dvc = ["dvc", verb, "--quiet", *names, *options]
    done = subprocess.run(dvc, cwd=root / "data" / "raw", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return f"data/raw/{path}"


def look(root: Path, *targets: str) -> Verified:
    return verify.check(root, list(targets), open_bucket(root))


@pytest.mark.parametrize("way", members.few(WAYS))
def test_added_data_counts_and_is_a_target_by_its_path_and_by_its_file(
    root: Path, way: str
) -> None:
    path = bring_in(root, way)
    found = look(root)
    missing = {finding.oid for finding in found.missing}
    assert {finding.stage for finding in found.missing} == {f"{path}.dvc"}
    assert found.n_expected == 5 + len(missing)
    for target in (path, f"{path}.dvc", str(root / path)):
        assert {finding.oid for finding in look(root, target).missing} == missing
    call(root, "git", "add", "--force", f"{path}.dvc")
    call(root, "git", "commit", "--quiet", "--message", "Data")
    assert {finding.places for finding in look(root).missing} == {("HEAD", "workspace")}
    Place("folder", str(root.parent / "remote")).fill(root / ".dvc" / "cache")
    assert look(root).is_whole
    assert look(root, f"{path}.dvc").is_whole


@pytest.mark.parametrize("way", members.few(["dvc add of a folder", "dvc import-url"], 1))
def test_added_data_comes_back(root: Path, way: str) -> None:
    path = bring_in(root, way)
    bucket = open_bucket(root)
    Place("folder", str(root.parent / "remote")).fill(root / ".dvc" / "cache")
    for folder in ("data/raw/x", "data/raw/x.csv", ".dvc/cache"):
        subprocess.run(["rm", "-rf", folder], cwd=root, check=True)
    fetched = fetching.fetch(expected.read(root), bucket)
    assert path in {out.path for out in fetched.whole}
    assert restore.check_out(root, fetched.whole) == []
    assert (root / path).exists()


def told(root: Path) -> list[items.Item]:
    Place("folder", str(root.parent / "remote")).fill(root / ".dvc" / "cache")
    return verify.verify(root)


def test_added_data_that_was_changed_since_is_not_saved_and_no_run_is_asked_for(root: Path) -> None:
    path = bring_in(root, "dvc add of a file")
    assert proven(told(root))
    (root / path).unlink()
    (root / path).write_text("changed\n")
    found = told(root)
    (item,) = [item for item in found if item.verdict == "wrong"]
    assert f"{path}.dvc" in item.fact
    assert f"dvc commit {path}.dvc" in item.cure


def test_an_import_without_its_data_is_no_fault_and_is_said(root: Path) -> None:
    bring_in(root, "dvc import-url", "--no-download")
    found = told(root)
    assert proven(found), facts(found, "wrong")
    assert "Imported without data" in facts(found, "warning")
