"""A merge that is not finished: every verb says so, and how it is finished or undone."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import members
import pytest
from repositories import git

from lifeboat.doctor import repository
from lifeboat.git import lock_file
from lifeboat.items import Item
from lifeboat.proof import expected, verify
from lifeboat.remotes.bucket import open_bucket
from lifeboat.restoring import restore
from lifeboat.running import reproduce
from lifeboat.saving import backup, push, store
from lifeboat.stage.errors import UserError

pytestmark = pytest.mark.kind(8)

CHANGES: dict[str, tuple[str, str]] = {
    "dvc.lock": ("md5: ", "md5: f"),
    "dvc.yaml": ("echo 1", "echo 3"),
    "params.yaml": ("seed: 1", "seed: 2"),
    "data/raw/x.dvc": ("md5: ", "md5: f"),
}
"""Files that DVC reads, and what one side of a merge has in them."""

VERBS: dict[str, Callable[[Path], list[Item]]] = {
    "verify": verify.verify,
    "verify of a target": lambda root: verify.verify(root, ["sum"]),
    "backup": backup.backup,
    "push": push.push,
    "restore": restore.restore,
    "store prune": store.prune,
    "doctor": lambda root: [repository.pipeline_item(root)],
    "reproduce": lambda root: reproduce.reproduce(root, []).endings,
}


def conflict(root: Path, name: str) -> None:
    """Leaves a merge of two branches that changed the same lines."""
    here, there = CHANGES[name]
    if name.endswith(".dvc"):
        (root / "data" / "raw" / "x").write_text("x\n")
        subprocess.run(["dvc", "add", "-q", "data/raw/x"], cwd=root, check=True)
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message", "Data")
    text = (root / name).read_text()
    for branch, other in (("theirs", there), ("main", f"{there}0")):
        if branch == "theirs":
            git(root, "switch", "--quiet", "--create", branch)
        else:
            git(root, "switch", "--quiet", branch)
        (root / name).write_text(text.replace(here, other, 1))
        git(root, "commit", "--quiet", "--all", "--message", branch)
    done = subprocess.run(["git", "merge", "theirs"], cwd=root, capture_output=True, text=True)
    assert "CONFLICT" in done.stdout


def said(verb: str, root: Path) -> str:
    try:
        found = VERBS[verb](root)
    except UserError as error:
        return str(error)
    return "\n".join(f"{item.fact} {item.cure}" for item in found if item.verdict == "wrong")


@pytest.mark.parametrize("verb", members.few(VERBS, 3))
def test_every_verb_says_conflict_and_the_ways_out(project: Path, verb: str) -> None:
    conflict(project, "dvc.lock")
    told = said(verb, project)
    assert "a merge CONFLICT in dvc.lock" in told
    assert "git checkout --ours dvc.lock" in told
    assert "git merge --abort" in told
    assert (project / ".git" / "MERGE_HEAD").exists()


@pytest.mark.parametrize("name", members.few(CHANGES))
def test_a_conflict_in_any_file_that_dvc_reads_is_named(project: Path, name: str) -> None:
    conflict(project, name)
    assert lock_file.conflicts(project) == [name]
    if name != "params.yaml":
        assert f"a merge CONFLICT in {name}" in said("verify", project)
    assert f"a merge CONFLICT in {name}" in said("doctor", project)
    git(project, "merge", "--abort")
    assert lock_file.conflicts(project) == []
    assert "CONFLICT" not in said("doctor", project)


def test_a_conflict_that_was_committed_is_told_of_head(project: Path) -> None:
    conflict(project, "dvc.lock")
    git(project, "commit", "--quiet", "--all", "--message", "Markers and all")
    git(project, "checkout", "--quiet", "HEAD~1", "--", "dvc.lock")
    assert "a merge CONFLICT in dvc.lock in HEAD" in said("verify", project)
    assert "results/sum" in {out.path for out in expected.read(project).outs}


def test_the_data_of_the_commit_is_saved_all_the_same(project: Path) -> None:
    conflict(project, "dvc.lock")
    backup.backup(project)
    assert len(list(open_bucket(project).list("files/"))) >= 2


@pytest.mark.parametrize("kind", ["fixed", "perl"])
def test_how_the_user_likes_to_search_changes_nothing(project: Path, kind: str) -> None:
    conflict(project, "dvc.lock")
    git(project, "config", "grep.patternType", kind)
    assert lock_file.conflicts(project) == ["dvc.lock"]


def test_of_the_commit_verify_says_all_the_same_what_is_missing(project: Path) -> None:
    conflict(project, "dvc.lock")
    assert "MISSING in " in said("verify", project)
