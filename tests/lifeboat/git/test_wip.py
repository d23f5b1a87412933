import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from repositories import facts, git, remote_of, submodule

from lifeboat import items
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, index, refs, wip
from lifeboat.remotes import remote

TOKEN = "hf_" + "aB3" * 11


def files(root: Path, commit: str) -> dict[str, str]:
    names = git(root, "ls-tree", "-r", "--name-only", "-z", commit).split("\0")
    return {name: git(root, "show", f"{commit}:{name}") for name in names if name}


@pytest.fixture
def there(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare repository on what passes for another machine, the remote of `repository`."""
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    return remote_of(repository)


def state(root: Path) -> tuple[object, ...]:
    """All of the user's that a backup must leave alone, the index byte for byte."""
    index = root / ".git" / "index"
    kept = {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and ".git" not in p.parts}
    head = (root / ".git" / "HEAD").read_text()
    return index.read_bytes(), index.stat().st_mtime_ns, head, git(root, "rev-parse", "HEAD"), kept


def test_a_half_edited_index_is_byte_for_byte_the_same_and_the_work_is_saved(
    repository: Path,
) -> None:
    (repository / "code.py").write_text("x = 2\n")
    (repository / "staged.py").write_text("half\n")
    git(repository, "add", "--all")
    (repository / "code.py").write_text("x = 3\n")
    (repository / "ümlaut and\nline.txt").write_text("new\n")
    (repository / ".env").write_text("A=b\n")
    os.utime(repository / ".gitignore")  # what git would refresh in the index if it were let
    before = state(repository)
    saved = wip.save(repository)
    assert state(repository) == before
    assert saved.branch == "wip/main"
    held = files(repository, saved.commit)
    assert held["code.py"] == "x = 3"
    assert held["staged.py"] == "half"
    assert held["ümlaut and\nline.txt"] == "new"
    assert ".env" not in held
    assert git(repository, "rev-parse", "wip/main") == saved.commit
    assert git(repository, "rev-parse", "wip/main^") == git(repository, "rev-parse", "HEAD")
    assert "only here: code.py" in facts(saved.items, "warning")
    assert items.proven(saved.items)


def test_deletions_renames_modes_links_and_a_file_that_became_a_folder_are_saved(
    repository: Path,
) -> None:
    for name in ("gone.txt", "old.txt", "run.sh", "folder.txt"):
        (repository / name).write_text(f"{name}\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "More")
    (repository / "gone.txt").unlink()
    (repository / "old.txt").rename(repository / "new.txt")
    (repository / "run.sh").chmod(0o755)
    (repository / "link").symlink_to("nowhere")
    (repository / "folder.txt").unlink()
    (repository / "folder.txt").mkdir()
    (repository / "folder.txt" / "inside").write_text("in\n")
    saved = wip.save(repository)
    names = files(repository, saved.commit)
    assert set(names) == {
        ".gitignore", "code.py", "folder.txt/inside", "link", "new.txt", "run.sh",
    }  # fmt: skip
    assert git(repository, "ls-tree", saved.commit, "run.sh").startswith("100755")
    assert git(repository, "ls-tree", saved.commit, "link").startswith("120000")


def test_the_same_tree_makes_no_second_commit_and_another_one_follows_the_first(
    repository: Path,
) -> None:
    (repository / "code.py").write_text("x = 2\n")
    first = wip.save(repository)
    assert wip.save(repository).commit == first.commit
    (repository / "code.py").write_text("x = 3\n")
    second = wip.save(repository)
    parents = git(repository, "rev-list", "--parents", "-1", second.commit).split()[1:]
    assert parents == [git(repository, "rev-parse", "HEAD"), first.commit]
    git(repository, "commit", "--quiet", "--all", "--message", "Done")
    (repository / "code.py").write_text("x = 4\n")
    third = wip.save(repository)
    git(repository, "merge-base", "--is-ancestor", second.commit, third.commit)
    git(repository, "merge-base", "--is-ancestor", "HEAD", third.commit)


def test_products_alone_are_committed_on_the_branch(repository: Path) -> None:
    (repository / "dvc.lock").write_text("schema: '2.0'\n")
    (repository / "runs" / "1").mkdir(parents=True)
    (repository / "runs" / "1" / "metadata.txt").write_text("m\n")
    saved = wip.save(repository)
    assert saved.branch == "main"
    assert saved.commit == git(repository, "rev-parse", "main")
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "for-each-ref", "refs/heads/wip") == ""


@pytest.mark.parametrize("aside", [False, True])
def test_products_beside_an_edit_or_in_a_hurry_go_aside(repository: Path, aside: bool) -> None:
    (repository / "dvc.lock").write_text("schema: '2.0'\n")
    if not aside:
        (repository / "code.py").write_text("x = 2\n")
    before = state(repository)
    assert wip.save(repository, aside=aside).branch == "wip/main"
    assert state(repository) == before


def test_a_message_commits_all_of_it_on_the_branch(repository: Path) -> None:
    (repository / "code.py").write_text("x = 2\n")
    saved = wip.save(repository, "Asked for")
    assert saved.branch == "main"
    assert git(repository, "log", "-1", "--format=%s") == "Asked for"


@pytest.mark.parametrize("message", ["", "Asked for"])
def test_a_secret_is_left_out_and_named_and_the_rest_is_saved(
    repository: Path, message: str
) -> None:
    (repository / "code.py").write_text(f"token = '{TOKEN}'\n")
    (repository / "big.bin").write_bytes(b"0" * 10_000_001)
    (repository / "good.py").write_text("y = 1\n")
    saved = wip.save(repository, message)
    assert not items.proven(saved.items)
    assert "code.py, line 1" in facts(saved.items, "wrong")
    assert "big.bin" in facts(saved.items, "wrong")
    assert TOKEN not in str(saved.items)
    assert files(repository, saved.commit) == files(repository, "HEAD") | {"good.py": "y = 1"}
    assert TOKEN not in git(repository, "log", "--all", "--patch")


def test_a_hook_that_fails_on_products_leaves_the_index_clean_and_they_go_aside(
    repository: Path,
) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'house rule 7' >&2\nexit 1\n")
    hook.chmod(0o755)
    (repository / "dvc.lock").write_text("schema: '2.0'\n")
    saved = wip.save(repository)
    assert saved.branch == "wip/main"
    assert "house rule 7" in facts(saved.items, "warning")
    assert git(repository, "diff", "--cached", "--name-only") == ""
    assert "dvc.lock" in files(repository, saved.commit)


def test_an_index_that_another_git_has_locked_is_not_waited_for(repository: Path) -> None:
    (repository / ".git" / "index.lock").touch()
    (repository / "dvc.lock").write_text("schema: '2.0'\n")
    saved = wip.save(repository)
    assert saved.branch == "wip/main"
    assert items.proven(saved.items)


def test_a_merge_in_progress_is_saved_as_it_is_and_goes_on(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "other")
    (repository / "code.py").write_text("x = 'theirs'\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Theirs")
    git(repository, "switch", "--quiet", "main")
    (repository / "code.py").write_text("x = 'ours'\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    before = state(repository)
    saved = wip.save(repository, "Asked for")
    assert state(repository) == before
    assert "<<<<<<<" in files(repository, saved.commit)["code.py"]
    assert (repository / ".git" / "MERGE_HEAD").is_file()


def test_a_repository_inside_is_named_as_not_saved(repository: Path) -> None:
    git(repository, "init", "--quiet", "inner")
    (repository / "inner" / "file").write_text("x\n")
    git(repository / "inner", "add", "--all")
    git(repository / "inner", "commit", "--quiet", "--message", "Inner")
    saved = wip.save(repository)
    assert "NOT SAVED: inner/ is a git repository of its own" in facts(saved.items, "wrong")


OURS = "lifeboat backup"
IDENTITIES: dict[str, tuple[dict[str, str], str]] = {
    "nobody": ({}, f"{OURS}, {OURS}"),
    "a committer": ({"GIT_COMMITTER_NAME": "CI", "GIT_COMMITTER_EMAIL": "c@x"}, f"{OURS}, CI"),
    "an author": ({"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x"}, f"A, {OURS}"),
    "an empty name": (
        {"GIT_AUTHOR_NAME": "", "GIT_COMMITTER_NAME": "CI", "GIT_COMMITTER_EMAIL": "c@x"},
        f"{OURS}, CI",
    ),
}
"""Variables on a machine that knows nobody, and the author and committer of a backup."""


@pytest.mark.kind(2)
@pytest.mark.parametrize("member", IDENTITIES)
def test_a_machine_without_a_git_identity_saves_all_the_same(
    repository: Path, there: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    (Path.home() / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    (repository / "dvc.lock").write_text("schema: '2.0'\n")
    variables, who = IDENTITIES[member]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    saved = wip.save(repository, aside=True)
    assert saved.branch == "wip/main"
    assert git(repository, "log", "-1", "--format=%an, %cn", saved.commit) == who
    assert refs.push(repository, saved, Deadline()).proven


DATES = {
    "of a committer": {"GIT_COMMITTER_DATE": "garbage"},
    "of an author": {"GIT_AUTHOR_DATE": "garbage"},
    "of both": {"GIT_AUTHOR_DATE": "3 o'clock", "GIT_COMMITTER_DATE": "3 o'clock"},
    "empty": {"GIT_COMMITTER_DATE": " "},
    "long ago": {"GIT_AUTHOR_DATE": "@0 +0000", "GIT_COMMITTER_DATE": "@0 +0000"},
}
"""Dates that a shell or a build gives git."""


@pytest.mark.kind(2)
@pytest.mark.parametrize("verb", ["backup", "push"])
@pytest.mark.parametrize("member", DATES)
def test_a_date_of_the_environment_is_not_that_of_a_backup(
    repository: Path, there: Path, monkeypatch: pytest.MonkeyPatch, member: str, verb: str
) -> None:
    for name, value in DATES[member].items():
        monkeypatch.setenv(name, value)
    began = int(time.time())
    (repository / "code.py").write_text("x = 2\n")
    if verb == "push":
        found = [*commit.commit(repository, "Work"), *commit.push(repository)]
    else:
        found = refs.push(repository, wip.save(repository), Deadline()).items
    assert items.proven(found), found
    for name in DATES[member]:
        monkeypatch.delenv(name)
    branch = "main" if verb == "push" else "wip/main"
    dates = git(there, "log", "-1", "--format=%at %ct", branch).split()
    assert all(int(date) >= began for date in dates)
    assert git(there, "show", f"{branch}:code.py") == "x = 2"


def test_a_repository_without_a_commit_is_saved_too(tmp_path: Path) -> None:
    root = tmp_path / "fresh"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "code.py").write_text("x = 1\n")
    saved = wip.save(root)
    assert files(root, saved.commit) == {"code.py": "x = 1"}
    assert saved.branch == "wip/main"


def test_both_branches_are_pushed_and_shown_by_the_remote(repository: Path, there: Path) -> None:
    (repository / "code.py").write_text("x = 2\n")
    saved = wip.save(repository)
    pushed = refs.push(repository, saved, Deadline.after(60))
    assert pushed.commit == git(there, "rev-parse", "wip/main") == saved.commit
    assert git(there, "rev-parse", "main") == git(repository, "rev-parse", "HEAD")
    assert pushed.proven
    assert pushed.branch == "wip/main"


@pytest.mark.parametrize("dirty", [False, True])
def test_commits_that_the_branch_there_does_not_take_go_to_the_wip_branch(
    repository: Path, there: Path, dirty: bool
) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Ahead")
    git(repository, "push", "--quiet", "origin", "main")
    git(repository, "reset", "--quiet", "--hard", "HEAD~1")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Elsewhere")
    if dirty:
        (repository / "code.py").write_text("x = 2\n")
    pushed = refs.push(repository, wip.save(repository), Deadline())
    assert items.proven(pushed.items)
    assert "did not take the branch main" in facts(pushed.items, "warning")
    git(there, "merge-base", "--is-ancestor", git(repository, "rev-parse", "HEAD"), "wip/main")
    assert git(there, "rev-parse", "wip/main") == pushed.commit


def test_a_detached_head_is_saved_on_a_branch_of_its_own(repository: Path, there: Path) -> None:
    git(repository, "switch", "--quiet", "--detach")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Nowhere")
    refs.push(repository, wip.save(repository), Deadline())
    head = git(repository, "rev-parse", "HEAD")
    assert git(there, "rev-parse", f"wip/detached-{head[:7]}") == head


def test_two_machines_on_one_branch_do_not_overwrite_each_other(
    repository: Path, there: Path, tmp_path: Path
) -> None:
    refs.push(repository, wip.save(repository), Deadline())
    git(tmp_path, "clone", "--quiet", str(there), "second")
    saved = []
    for number, root in enumerate((repository, tmp_path / "second")):
        (root / "code.py").write_text(f"x = 'machine {number}'\n")
        saved.append(refs.push(root, wip.save(root), Deadline()))
        assert items.proven(saved[-1].items)
    assert git(there, "rev-parse", "wip/main") == saved[0].commit
    assert saved[1].branch.startswith("wip/main.")
    assert git(there, "rev-parse", saved[1].branch) == saved[1].commit


def test_a_new_machine_goes_on_from_the_last_wip_of_the_old_one(
    repository: Path, there: Path, tmp_path: Path
) -> None:
    (repository / "code.py").write_text("x = 2\n")
    first = refs.push(repository, wip.save(repository), Deadline())
    git(tmp_path, "clone", "--quiet", str(there), "second")
    (tmp_path / "second" / "code.py").write_text("x = 3\n")
    second = refs.push(tmp_path / "second", wip.save(tmp_path / "second"), Deadline())
    assert second.branch == "wip/main"
    git(there, "merge-base", "--is-ancestor", first.commit, second.commit)


def test_a_remote_that_cannot_be_reached_or_is_missing_is_said(repository: Path) -> None:
    saved = wip.save(repository)
    assert "ONLY ON THIS MACHINE" in facts(refs.push(repository, saved, Deadline()).items, "wrong")
    git(repository, "remote", "add", "origin", "http://127.0.0.1:9/x.git")
    for deadline in (Deadline(), Deadline.after(30)):
        pushed = refs.push(repository, saved, deadline)
        assert "`git push` to origin failed" in facts(pushed.items, "wrong")
        assert not pushed.proven


def test_two_backups_at_once_both_end_in_the_wip_branch(repository: Path) -> None:
    (repository / "code.py").write_text("x = 2\n")
    here = wip.head(repository)
    trees = []
    for number in range(2):
        (repository / "code.py").write_text(f"x = {number}\n")
        trees.append(index.tree(repository, ["code.py"]).id)
    first, second = (wip.chain(repository, here, tree, ["wip/main"])[0] for tree in trees)
    git(repository, "merge-base", "--is-ancestor", first, second)
    assert git(repository, "rev-parse", "wip/main") == second


def test_stashes_branches_and_experiments_that_no_remote_has_are_told(
    repository: Path,
) -> None:
    remote_of(repository)
    git(repository, "push", "--quiet", "origin", "main")
    git(repository, "branch", "same")
    assert refs.only_here(repository) == []
    git(repository, "switch", "--quiet", "--create", "idea")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Idea")
    git(repository, "update-ref", "refs/exps/ab/abcd/bold-wolf", "HEAD")
    git(repository, "branch", "wip/main")
    git(repository, "switch", "--quiet", "main")
    (repository / "code.py").write_text("x = 2\n")
    git(repository, "stash")
    found = refs.only_here(repository)
    assert [item.verdict for item in found] == ["warning"] * 3
    assert [item.fact.partition(": ")[2] for item in found] == [
        "1 stash.",
        "1 other branch.",
        "1 DVC experiment.",
    ]
    assert "git push origin idea" in found[1].cure


def annotated(root: Path) -> None:
    git(root, "tag", "--annotate", "--message", "As submitted", "v1")


def of_a_commit_here(root: Path) -> None:
    git(root, "switch", "--quiet", "--detach")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "Tagged")
    git(root, "tag", "idea")
    git(root, "switch", "--quiet", "main")


def of_a_file(root: Path) -> None:
    git(root, "tag", "key", git(root, "hash-object", "-w", "code.py"))


def moved(root: Path) -> None:
    annotated(root)
    git(root, "push", "--quiet", "origin", "v1")
    git(root, "tag", "--force", "--annotate", "--message", "Again", "v1")


def notes(root: Path) -> None:
    git(root, "notes", "add", "--message", "Loss 0.3")


def more_notes(root: Path) -> None:
    notes(root)
    git(root, "push", "--quiet", "origin", "refs/notes/commits")
    git(root, "notes", "append", "--message", "Loss 0.2")


def notes_there(root: Path) -> None:
    more_notes(root)
    git(root, "push", "--quiet", "origin", "refs/notes/commits")
    git(root, "update-ref", "refs/notes/commits", "refs/notes/commits~1")


def detached_worktree(root: Path) -> None:
    git(root, "worktree", "add", "--quiet", "--detach", "../side")
    git(root.parent / "side", "commit", "--quiet", "--allow-empty", "--message", "Nowhere")


def submodule_that_is_put_away(root: Path) -> None:
    git(submodule(root), "commit", "--quiet", "--allow-empty", "--message", "Only here")
    git(root, "push", "--quiet", "origin", "main")
    git(root, "submodule", "--quiet", "deinit", "--force", "third_party/p")


def submodule_of_another_branch(root: Path) -> None:
    sub = submodule(root)
    git(root, "push", "--quiet", "origin", "main:refs/heads/with")
    git(sub, "switch", "--quiet", "--create", "idea")
    git(sub, "commit", "--quiet", "--allow-empty", "--message", "Only here")
    git(root, "reset", "--quiet", "--hard", "HEAD~1")
    shutil.rmtree(root / "third_party")


def submodule_that_was_pushed(root: Path) -> None:
    submodule(root)
    git(root, "push", "--quiet", "origin", "main")
    git(root, "submodule", "--quiet", "deinit", "--force", "third_party/p")


def in_another_remote(root: Path) -> None:
    annotated(root)
    git(root.parent, "clone", "--quiet", "--bare", "repository", "fork.git")
    git(root, "remote", "add", "fork", "../fork.git")


def in_a_remote_that_is_gone(root: Path) -> None:
    annotated(root)
    git(root, "remote", "add", "fork", "../gone.git")


def without_remote(root: Path) -> None:
    annotated(root)
    git(root, "remote", "remove", "origin")
    git(root, "tag", "mark")


def of_a_tool(root: Path) -> None:
    made = git(root, "commit-tree", "-p", "HEAD", "-m", "Kept", "HEAD^{tree}")
    git(root, "update-ref", "refs/custom/x", made)


def of_a_tool_pushed(root: Path) -> None:
    of_a_tool(root)
    git(root, "push", "--quiet", "origin", "refs/custom/x")


def of_a_tool_there(root: Path) -> None:
    git(root, "update-ref", "refs/custom/x", "HEAD")
    git(root, "bisect", "start")


ONLY_HERE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a tag with a message": (annotated, "NOT SAVED: refs/tags/v1: no remote shows it", "wrong"),
    "a tag of a commit": (of_a_commit_here, "NOT SAVED: refs/tags/idea: no", "wrong"),
    "a tag of a file": (of_a_file, "NOT SAVED: refs/tags/key: no", "wrong"),
    "a tag that was moved": (moved, "NOT SAVED: refs/tags/v1: no", "wrong"),
    "a name for a commit": (
        lambda root: git(root, "tag", "mark"),
        "Only here: refs/tags/mark: no remote shows it",
        "warning",
    ),
    "a tag in another remote": (in_another_remote, "", ""),
    "a remote that does not answer": (
        in_a_remote_that_is_gone,
        "NOT SAVED: refs/tags/v1: no remote shows it (fork did not answer)",
        "warning",
    ),
    "no remote at all": (without_remote, "NOT SAVED: refs/tags/mark, refs/tags/v1: no", "wrong"),
    "a ref of a tool": (of_a_tool, "Only here: refs/custom/x: no remote shows it", "warning"),
    "one that was pushed": (of_a_tool_pushed, "", ""),
    "one of a commit that is there": (of_a_tool_there, "", ""),
    "notes": (notes, "NOT SAVED: refs/notes/commits: no remote", "wrong"),
    "more notes": (more_notes, "NOT SAVED: refs/notes/commits: no remote", "wrong"),
    "older notes": (notes_there, "", ""),
    "a commit of a worktree": (detached_worktree, "on no branch, of the working tree", "wrong"),
    "a submodule put away": (submodule_that_is_put_away, "files here: third_party/p", "warning"),
    "one of another branch": (submodule_of_another_branch, "here: third_party/p", "warning"),
    "a submodule that was pushed": (submodule_that_was_pushed, "", ""),
}
"""What only a clone has of git, besides branches and the like: what is said of it, and how."""


@pytest.mark.kind(1)
@pytest.mark.parametrize("member", ONLY_HERE)
def test_what_of_git_no_remote_has_is_named(repository: Path, there: Path, member: str) -> None:
    git(repository, "push", "--quiet", "--set-upstream", "origin", "main")
    make, said, verdict = ONLY_HERE[member]
    make(repository)
    found = refs.only_here(repository)
    assert [item.verdict for item in found] == ([verdict] if verdict else []), found
    assert said in facts(found, verdict)
