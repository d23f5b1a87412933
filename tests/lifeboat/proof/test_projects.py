"""DVC projects besides this one: their data is in a remote of theirs, or said not to be saved."""

from pathlib import Path

import pytest
from repositories import facts, git, submodule

from lifeboat import items, processes
from lifeboat.git import wip
from lifeboat.items import Item
from lifeboat.proof import held
from lifeboat.remotes import remote
from lifeboat.saving import push

pytestmark = [pytest.mark.kind(1), pytest.mark.usefixtures("elsewhere")]


def told(root: Path) -> list[Item]:
    """What is told of a project whose HEAD is all that git would hold."""
    return held.items(root, wip.save(root, aside=True))


def in_a_folder(root: Path) -> Path:
    (root / "sub").mkdir()
    assert processes.dvc(root / "sub", "init", "--quiet", "--subdir").returncode == 0
    return root / "sub"


def in_a_submodule(root: Path) -> Path:
    sub = submodule(root)
    assert processes.dvc(sub, "init", "--quiet").returncode == 0
    return sub


def in_a_worktree(root: Path) -> Path:
    other = root.parent / "side"
    git(root, "worktree", "add", "--quiet", "-b", "side", str(other))
    config = (other / ".dvc" / "config").read_text().replace("remote = local", "")
    (other / ".dvc" / "config").write_text(config)
    git(other, "rm", "--quiet", "dvc.yaml", "dvc.lock")
    git(other, "commit", "--quiet", "--all", "--message", "Of its own")
    return other


PLACES = {"a folder": in_a_folder, "a submodule": in_a_submodule, "a worktree": in_a_worktree}


@pytest.mark.parametrize("member", PLACES)
def test_data_of_another_project_is_saved_only_in_a_remote_of_its_own(
    project: Path, member: str
) -> None:
    other = PLACES[member](project)
    name = other.relative_to(project) if other.is_relative_to(project) else "."
    assert "of its own" not in facts(told(project), "wrong")
    (other / "labels.csv").write_text("x\n")
    assert processes.dvc(other, "add", "--quiet", "labels.csv").returncode == 0
    said = facts(told(project), "wrong")
    assert f"NOT SAVED: data of {name}, a DVC project of its own (DVC has no default remote" in said
    remote.set_default(other, str(project.parent / "theirs"))
    assert f"data of {name}, a DVC project of its own (MISSING in" in facts(told(project), "wrong")
    push.push_data(other)
    found = told(project)
    assert "of its own" not in facts(found, "wrong"), found
    assert "labels.csv" not in facts(found, "warning")


def test_the_project_around_this_one_is_another_one(project: Path) -> None:
    inner = in_a_folder(project)
    (inner / "labels.csv").write_text("x\n")
    assert processes.dvc(inner, "add", "--quiet", "labels.csv").returncode == 0
    assert "data of ., a DVC project of its own (MISSING" in facts(told(inner), "wrong")
    push.push_data(project)
    assert items.proven(told(inner))
