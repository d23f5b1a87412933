"""DVC writes dvc.lock in place, so that a copy may be its beginning; here every such beginning."""

import subprocess
import threading
import time
from pathlib import Path

import pytest

from lifeboat.git import commit, index, lock_file, wip
from lifeboat.running import reproduce
from lifeboat.stage.errors import UserError


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def lock(project: Path) -> str:
    """The lock of a project with two stages, which HEAD has."""
    assert git(project, "status", "--porcelain") == ""
    return (project / "dvc.lock").read_text()


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "ATTEMPTS", 2)


def tree_with(root: Path, text: str) -> str:
    (root / "dvc.lock").write_text(text)
    return index.tree(root, ["dvc.lock"]).id


def test_every_beginning_of_the_same_stages_is_cut_and_the_whole_is_not(
    project: Path, lock: str
) -> None:
    assert not lock_file.is_cut(project, tree_with(project, lock), "HEAD")
    second = lock.index("  sum:")
    for n in [*range(0, second, 37), second, len(lock) - 1]:
        assert lock_file.is_cut(project, tree_with(project, lock[:n]), "HEAD"), lock[:n]


def test_a_lock_of_other_stages_or_other_values_is_whole(project: Path, lock: str) -> None:
    more = lock + "  third:\n    cmd: x\n"
    other = lock.replace("  numbers:", "  renamed:")
    assert not lock_file.is_cut(project, tree_with(project, more), "HEAD")
    assert not lock_file.is_cut(project, tree_with(project, other), "HEAD")
    assert not lock_file.is_cut(project, tree_with(project, lock), "0" * 40)
    assert not lock_file.is_cut(project, git(project, "mktree").strip(), "HEAD")


def test_a_stage_that_the_pipeline_has_lost_too_is_not_cut_off(project: Path, lock: str) -> None:
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text[: text.index("  sum:")])
    (project / "dvc.lock").write_text(lock[: lock.index("  sum:")])
    (done,) = commit.commit(project, "The last stage is gone")
    assert done.verdict == "ok"
    assert "sum" not in git(project, "show", "HEAD:dvc.lock")


@pytest.mark.parametrize("in_the_way", [False, True])
def test_where_dvc_was_killed_while_it_wrote_the_last_whole_version_is_saved(
    project: Path, lock: str, in_the_way: bool
) -> None:
    if in_the_way:
        git(project, "branch", "wip")
    newer = lock.replace("size: 4", "size: 5")
    assert newer != lock
    (project / "dvc.lock").write_text(newer)
    (project / "code.py").write_text("x = 1\n")
    wip.save(project)
    (project / "dvc.lock").write_text(newer[:200])
    (project / "code.py").write_text("x = 2\n")
    saved = wip.save(project)
    assert git(project, "show", f"{saved.commit}:dvc.lock") == newer
    assert git(project, "show", f"{saved.commit}:code.py") == "x = 2\n"
    assert "dvc.lock is cut off" in "".join(i.fact for i in saved.items if i.verdict == "warning")
    assert (project / "dvc.lock").read_text() == newer[:200]


def test_a_cut_lock_is_not_committed_on_the_branch(project: Path, lock: str) -> None:
    (project / "dvc.lock").write_text(lock[: lock.index("  sum:")])
    (failed,) = commit.commit(project, "Results")
    assert failed.verdict == "wrong"
    assert "cut off" in failed.fact
    assert git(project, "show", "HEAD:dvc.lock") == lock
    assert wip.save(project, "Results").branch in ("main", "wip/main")
    assert git(project, "show", "HEAD:dvc.lock") == lock


def test_a_lock_that_is_being_written_is_waited_for(
    project: Path, lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_file, "ATTEMPTS", 6)
    newer = lock.replace("size: 4", "size: 5")
    pieces = [newer[at : at + 64] for at in range(0, len(newer), 64)]
    begun = threading.Event()

    def write() -> None:
        with (project / "dvc.lock").open("w") as file:
            for piece in pieces:
                file.write(piece)
                file.flush()
                begun.set()
                time.sleep(0.5 / len(pieces))

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    saved = wip.save(project, aside=True)
    writer.join()
    assert git(project, "show", f"{saved.commit}:dvc.lock") == newer
    assert [item.fact for item in saved.items if "cut off" in item.fact] == []


def test_the_study_does_not_go_on_from_a_cut_lock(
    project: Path, lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_file, "ATTEMPTS", 1)
    lock_file.require_whole(project)
    (project / "dvc.lock").write_text(lock[:-3])
    with pytest.raises(UserError, match="dvc.lock is cut off.*git restore dvc.lock"):
        reproduce.reproduce(project, [])
    assert git(project, "restore", "dvc.lock") == ""
    assert reproduce.reproduce(project, []).code == 0
    (project / "dvc.lock").unlink()
    lock_file.require_whole(project)


def test_in_a_folder_of_its_repository_the_last_whole_version_is_saved_too(
    repository: Path, lock: str
) -> None:
    root = repository / "study"
    root.mkdir()
    (root / "dvc.yaml").write_text("stages:\n  numbers:\n  sum:\n")
    (root / "dvc.lock").write_text(lock)
    wip.save(root)
    (root / "dvc.lock").write_text(lock[:-5])
    (root / "code.py").write_text("x = 2\n")
    saved = wip.save(root)
    assert git(root, "show", f"{saved.commit}:./dvc.lock") == lock
