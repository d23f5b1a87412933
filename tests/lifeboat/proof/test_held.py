"""Kind 1: what is called saved is in the commit that was pushed, file by file, or it is named."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from repositories import facts, git, submodule

from lifeboat import items, processes
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, refs, taking, wip
from lifeboat.git.refs import Pushed
from lifeboat.items import Item
from lifeboat.proof import held
from lifeboat.stage.errors import UserError

pytestmark = [pytest.mark.kind(1), pytest.mark.usefixtures("elsewhere")]


def saved(root: Path) -> tuple[Pushed, list[Item]]:
    """What became of the code side of a backup."""
    made = wip.save(root)
    pushed = refs.push(root, made, Deadline())
    found = [*made.items, *(held.items(root, pushed) if pushed.commit else [])]
    return pushed, [*found, *(item for item in pushed.items if item.verdict == "wrong")]


def names(there: Path, branch: str) -> list[bytes]:
    """Names of the files on a branch of a remote, as bytes."""
    listed = processes.git(there, "ls-tree", "-r", "-z", "--name-only", branch).stdout
    return [os.fsencode(name) for name in listed.split("\0") if name]


def commit_in_submodule(root: Path) -> None:
    sub = submodule(root)
    git(sub, "commit", "--quiet", "--allow-empty", "--message", "Not pushed")


def change_in_submodule(root: Path) -> None:
    (submodule(root) / "a.py").write_text("changed\n")


def new_in_submodule(root: Path) -> None:
    (submodule(root) / "new.py").write_text("new\n")


def files_for_submodule(root: Path) -> None:
    sub = submodule(root)
    (sub / ".git").unlink()


def ignored_submodule(root: Path) -> None:
    commit_in_submodule(root)
    git(root, "config", "submodule.third_party/p.ignore", "all")


def hidden(bit: str) -> Callable[[Path], None]:
    def hide(root: Path) -> None:
        git(root, "update-index", f"--{bit}", "code.py")
        (root / "code.py").write_text("x = 'hidden'\n")

    return hide


def repository_inside(root: Path) -> None:
    git(root, "init", "--quiet", "inner")
    (root / "inner" / "file.py").write_text("x\n")


def pointer(root: Path) -> None:
    (root / ".gitattributes").write_text("*.png filter=lfs\n")
    git(root, "config", "filter.lfs.clean", "echo version https://git-lfs.github.com/spec/v1")
    (root / "a.png").write_bytes(b"\x89PNG")


def filtered(name: str, *words: str) -> Callable[[Path], None]:
    """A filter that keeps the content beside, as git-fat does, takes some away, or locks it."""

    def make(root: Path) -> None:
        (root / ".gitattributes").write_text(f"*.bin text=auto filter={name}\n")
        git(root, "config", f"filter.{name}.clean", *words)
        (root / "a.bin").write_text("one\ntwo\n")

    return make


UNHELD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a commit in a submodule": (commit_in_submodule, "third_party/p: submodule, whose commit"),
    "a change in a submodule": (change_in_submodule, "third_party/p/a.py: it is not in commit"),
    "a file in a submodule": (new_in_submodule, "third_party/p/new.py: it is not in commit"),
    "a submodule without git": (files_for_submodule, "third_party/p/a.py: it lies where"),
    "a submodule that status ignores": (ignored_submodule, "third_party/p: submodule, whose"),
    "assume-unchanged": (hidden("assume-unchanged"), "code.py: the bit assume-unchanged"),
    "skip-worktree": (hidden("skip-worktree"), "code.py: the bit skip-worktree"),
    "a pointer of git-lfs": (pointer, "a.png: the commit has a pointer of git-lfs"),
    "content kept beside": (
        filtered("fat", "tee .git/fat | sha1sum"),
        "a.bin: the commit has what",
    ),
    "outputs taken away": (filtered("nb.strip", "head -n 1"), "what the filter `nb.strip` makes"),
    "content that is locked": (filtered("crypt", "tr a-z b-za"), "the filter `crypt` makes of it"),
    "a repository inside": (repository_inside, "inner/ is a git repository of its own"),
}
"""What a commit cannot hold, or holds the name of alone: how it is made, and what is said."""


@pytest.mark.parametrize("member", UNHELD)
def test_what_the_pushed_tree_does_not_hold_is_named_with_its_reason(
    repository: Path, there: Path, member: str
) -> None:
    make, said = UNHELD[member]
    assert items.proven(saved(repository)[1])
    make(repository)
    _pushed, found = saved(repository)
    assert said in facts(found, "wrong"), found
    assert not items.proven(found)


def latin_name(root: Path) -> None:
    (root / os.fsdecode(b"caf\xe9.py")).write_text("x\n")


def latin_folder(root: Path) -> None:
    (root / os.fsdecode(b"notes-\xff")).mkdir()
    (root / os.fsdecode(b"notes-\xff/a.md")).write_text("x\n")


def name_of_another_system(root: Path) -> None:
    (root / r"a\b.py").write_text("x\n")


def name_of_lines(root: Path) -> None:
    (root / "one\rtwo\nthree\u2028four.py").write_text("x\n")


def unseen_by_a_monitor(root: Path) -> None:
    hook = root / ".git" / "says-nothing"
    hook.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    hook.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(hook))
    git(root, "config", "core.fsmonitorHookVersion", "2")
    git(root, "update-index", "--fsmonitor")
    git(root, "status")
    (root / "code.py").write_text("x = 2\n")


def unshown_by_a_setting(root: Path) -> None:
    git(root, "config", "status.showUntrackedFiles", "no")
    (root / "new.py").write_text("x\n")


def repository_over_tracked_files(root: Path) -> None:
    (root / "lib").mkdir()
    (root / "lib" / "a.py").write_text("a\n")
    git(root, "add", "lib")
    git(root, "commit", "--quiet", "--message", "lib")
    git(root / "lib", "init", "--quiet")
    (root / "lib" / "new.py").write_text("new\n")


def replaced(root: Path, what: str) -> None:
    """What `git replace` puts before HEAD here has a file that a push does not send."""
    (root / "new.py").write_text("new\n")
    git(root, "add", "new.py")
    git(root, "commit", "--quiet", "--message", "New")
    other = git(root, "rev-parse", f"HEAD{what}")
    git(root, "reset", "--quiet", "--soft", "HEAD~1")
    git(root, "replace", git(root, "rev-parse", f"HEAD{what}"), other)


HELD: dict[str, tuple[Callable[[Path], None], bytes]] = {
    "a name in Latin-1": (latin_name, b"caf\xe9.py"),
    "a folder that is no text": (latin_folder, b"notes-\xff/a.md"),
    "a name for another system": (name_of_another_system, rb"a\b.py"),
    "a name with ends of lines": (name_of_lines, "one\rtwo\nthree\u2028four.py".encode()),
    "a monitor that says nothing": (unseen_by_a_monitor, b"code.py"),
    "untracked files not shown": (unshown_by_a_setting, b"new.py"),
    "a commit that is replaced": (lambda root: replaced(root, ""), b"new.py"),
    "a tree that is replaced": (lambda root: replaced(root, "^{tree}"), b"new.py"),
    "a repository around files": (repository_over_tracked_files, b"lib/new.py"),
}
"""What tools that ask `git status` lose, and the file that has to be in the commit."""


@pytest.mark.parametrize(
    "attribute", ["text eol=crlf", "ident", "filter=none", "-filter", "filter"]
)
def test_ends_of_lines_and_filters_that_do_nothing_are_no_loss(
    repository: Path, there: Path, attribute: str
) -> None:
    (repository / ".gitattributes").write_text(f"*.csv {attribute}\n")
    (repository / "a.csv").write_bytes(b"$Id: 0123 $,1\r\n")
    git(repository, "config", "core.autocrlf", "true")
    found = saved(repository)[1]
    assert items.proven(found), found


def test_a_change_inside_a_submodule_keeps_no_push_back(repository: Path, there: Path) -> None:
    change_in_submodule(repository)
    found = [*commit.commit(repository, "Work"), *commit.push(repository)]
    assert items.proven(found), found
    assert found[0].fact.startswith("Nothing to commit")


@pytest.mark.parametrize("verb", ["backup", "push"])
@pytest.mark.parametrize("setting", ["diff.ignoreSubmodules", "submodule.third_party/p.ignore"])
def test_another_commit_of_a_submodule_that_settings_ignore_is_committed(
    repository: Path, there: Path, setting: str, verb: str
) -> None:
    sub = submodule(repository)
    git(sub, "commit", "--quiet", "--allow-empty", "--message", "Newer")
    git(sub, "push", "--quiet", "origin", "HEAD:refs/heads/newer")
    git(repository, "config", setting, "all")
    if verb == "push":
        found = [*commit.commit(repository, "Newer"), *commit.push(repository)]
    else:
        found = saved(repository)[1]
    assert items.proven(found), found
    branch = "main" if verb == "push" else "wip/main"
    assert git(sub, "rev-parse", "HEAD") == git(there, "rev-parse", f"{branch}:third_party/p")


@pytest.mark.parametrize("member", HELD)
@pytest.mark.parametrize("verb", ["backup", "push"])
def test_what_others_lose_is_in_the_tree_that_was_pushed(
    repository: Path, there: Path, member: str, verb: str
) -> None:
    make, name = HELD[member]
    make(repository)
    if verb == "backup":
        pushed, found = saved(repository)
        branch = pushed.branch
    else:
        found, branch = [*commit.commit(repository, "Work"), *commit.push(repository)], "main"
    assert "NOT" not in facts(found, "wrong"), found
    assert name in names(there, branch)
    data = processes.git(there, "show", f"{branch}:{os.fsdecode(name)}").stdout
    assert data == (repository / os.fsdecode(name)).read_text()
    assert all(item.fact.isprintable() or "\n" in item.fact for item in found)


def test_a_name_that_is_no_text_is_told_and_comes_back(repository: Path, there: Path) -> None:
    latin_name(repository)
    (repository / os.fsdecode(b"key-\xe9.env")).write_text("A=b\n")
    _pushed, found = saved(repository)
    assert r"key-\xe9.env, because it holds accounts" in facts(found, "wrong")
    git(repository.parent, "clone", "--quiet", str(there), "clone")
    taken = [*taking.update(repository.parent / "clone"), *taking.take(repository.parent / "clone")]
    assert items.proven(taken), taken
    assert (repository.parent / "clone" / os.fsdecode(b"caf\xe9.py")).is_file()


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another repository, with a staged file and a remote of its own."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message", "Other")
    git(tmp_path, "clone", "--quiet", "--bare", "other", "others.git")
    git(other, "remote", "add", "origin", str(tmp_path / "others.git"))
    (other / "theirs.txt").write_text("theirs\n")
    git(other, "add", "--all")
    return other


ELSEWHERE = {
    "a repository": {"GIT_DIR": "{}/.git", "GIT_WORK_TREE": "{}"},
    "a repository without a tree": {"GIT_DIR": "{}/.git"},
    "its index": {"GIT_INDEX_FILE": "{}/.git/index"},
    "its objects": {"GIT_OBJECT_DIRECTORY": "{}/.git/objects"},
    "names": {"GIT_LITERAL_PATHSPECS": "0", "GIT_ICASE_PATHSPECS": "1", "GIT_NAMESPACE": "n"},
    "attributes": {"GIT_ATTR_SOURCE": "nothing", "GIT_EXTERNAL_DIFF": "false"},
}
"""Variables of hooks and of shells that are set up for another repository."""


@pytest.mark.parametrize("member", ELSEWHERE)
def test_git_s_variables_lead_nowhere_else(
    repository: Path, there: Path, other: Path, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [git(root, "for-each-ref") for root in (other, other.parent / "others.git")]
    (repository / "code.py").write_text("x = 2\n")
    variables = ELSEWHERE[member]
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(other))
    pushed, found = saved(repository)
    for name in variables:
        monkeypatch.delenv(name)
    assert items.proven(found), found
    assert git(there, "rev-parse", "wip/main") == pushed.commit
    assert git(there, "show", "wip/main:code.py") == "x = 2"
    assert [git(root, "for-each-ref") for root in (other, other.parent / "others.git")] == before


def test_a_setting_that_leads_to_other_files_is_refused(repository: Path, other: Path) -> None:
    git(repository, "config", "core.worktree", str(other))
    with pytest.raises(UserError, match="to the files of .*other.*core.worktree"):
        wip.save(repository)


def test_what_says_who_commits_and_how_a_remote_is_reached_is_kept(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"GIT_AUTHOR_NAME": "A", "GIT_SSH_COMMAND": "ssh -x", "GIT_CONFIG_COUNT": "0"}
    for name, value in {**kept, "GIT_DIR": "/elsewhere"}.items():
        monkeypatch.setenv(name, value)
    variables = processes.environment(repository)
    assert kept.items() <= variables.items()
    assert "GIT_DIR" not in variables
    assert processes.of_hook()["GIT_DIR"] == "/elsewhere"  # a hook looks at its own commit


def to_a_fork(*settings: str) -> Callable[[Path], None]:
    def set_up(root: Path) -> None:
        for setting in settings:
            git(root, "config", *setting.split("=", 1))

    return set_up


FORKED = {
    "pushDefault": to_a_fork("remote.pushDefault=fork"),
    "pushRemote": to_a_fork("branch.main.pushRemote=fork"),
    "both": to_a_fork("remote.pushDefault=origin", "branch.main.pushRemote=fork"),
    "pushurl": to_a_fork("remote.origin.pushurl=../fork.git"),
    "an address": to_a_fork("remote.pushDefault=../fork.git"),
    "insteadOf": to_a_fork("url.../fork.git.pushInsteadOf=../there.git"),
}
"""How one tells git that pushes do not go to where one pulls from."""


@pytest.mark.parametrize("verb", ["backup", "push"])
@pytest.mark.parametrize("member", FORKED)
def test_code_goes_where_the_user_s_own_pushes_go_and_nothing_goes_upstream(
    repository: Path, there: Path, member: str, verb: str
) -> None:
    git(repository.parent, "init", "--quiet", "--bare", "fork.git")
    git(repository, "remote", "set-url", "origin", "../there.git")
    git(repository, "remote", "add", "fork", "../fork.git")
    FORKED[member](repository)
    before = git(there, "for-each-ref")
    (repository / "private.md").write_text("notes\n")
    if verb == "backup":
        found, branch = saved(repository)[1], "wip/main"
    else:
        found, branch = [*commit.commit(repository, "Work"), *commit.push(repository)], "main"
    assert items.proven(found), found
    assert git(there, "for-each-ref") == before
    fork = repository.parent / "fork.git"
    assert git(fork, "show", f"{branch}:private.md") == "notes"


def test_unfinished_work_comes_back_from_the_fork(repository: Path, there: Path) -> None:
    git(repository.parent, "clone", "--quiet", "--bare", str(there), "fork.git")
    git(repository, "remote", "add", "fork", str(repository.parent / "fork.git"))
    git(repository, "config", "remote.pushDefault", "fork")
    (repository / "code.py").write_text("x = 2\n")
    saved(repository)
    git(repository, "stash", "--quiet")
    found = [*taking.update(repository), *taking.take(repository)]
    assert "as the newest unfinished work" in facts(found, "ok"), found
    assert (repository / "code.py").read_text() == "x = 2\n"


def test_a_branch_that_follows_another_one_here_is_not_pushed_to_itself(
    repository: Path, there: Path
) -> None:
    git(repository, "switch", "--quiet", "--create", "idea", "--track", "main")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Idea")
    assert git(repository, "config", "branch.idea.remote") == "."
    pushed, found = saved(repository)
    assert items.proven(found), found
    assert git(there, "rev-parse", "idea") == pushed.commit


def test_a_project_in_a_folder_of_its_repository_is_saved_with_all_that_is_around_it(
    repository: Path, there: Path
) -> None:
    root = repository / "study"
    root.mkdir()
    (root / "dvc.lock").write_text("schema: '2.0'\n")
    (root / "new.py").write_text("y\n")
    (root / ".env.local").write_text("A=b\n")
    (repository / "beside.py").write_text("z\n")
    pushed, found = saved(root)
    assert ".env.local, because it holds accounts" in facts(found, "wrong")
    assert "5 of 6 files here" in facts(found, "ok")
    held_ = names(there, pushed.branch)
    assert {b"study/new.py", b"study/dvc.lock", b"beside.py"} <= set(held_)
    assert b"study/.env.local" not in held_
    found = [*commit.commit(root, "Work"), *commit.push(root)]
    assert "study" not in facts(found, "ok")
    assert "NOTHING WAS COMMITTED" in facts(found, "wrong")


def worktree(root: Path) -> Path:
    git(root, "worktree", "add", "--quiet", "-b", "side", "../side")
    return root.parent / "side"


def changed_worktree(root: Path) -> None:
    (worktree(root) / "code.py").write_text("x = 5\n")


def new_in_worktree(root: Path) -> None:
    (worktree(root) / "new.py").write_text("x = 5\n")


def changed_without_index(root: Path) -> None:
    changed_worktree(root)
    (root / ".git" / "worktrees" / "side" / "index").write_bytes(b"")


def main_worktree(root: Path) -> None:
    place = worktree(root)
    root.rename(root.parent / "first")
    git(root.parent / "first", "worktree", "repair", str(place))
    (root.parent / "first" / "code.py").write_text("x = 5\n")
    place.rename(root)
    git(root.parent / "first", "worktree", "repair", str(root))


def in_worktree(make: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: make(worktree(root))


def submodule_of_worktree(root: Path) -> Path:
    submodule(root)
    git(root, "push", "--quiet", "origin", "main")
    update = ("submodule", "--quiet", "update", "--init")
    git(worktree(root), "-c", "protocol.file.allow=always", *update)
    return root.parent / "side" / "third_party" / "p"


def changed_in_its_submodule(root: Path) -> None:
    (submodule_of_worktree(root) / "a.py").write_text("changed\n")


def committed_in_its_submodule(root: Path) -> None:
    sub = submodule_of_worktree(root)
    git(sub, "commit", "--quiet", "--allow-empty", "--message", "Not pushed")
    git(root.parent / "side", "commit", "--quiet", "--all", "--message", "Newer")


def saved_worktree(root: Path) -> None:
    changed_worktree(root)
    place = root.parent / "side"
    refs.push(place, wip.save(place), Deadline())


def removed_worktree(root: Path) -> None:
    changed_worktree(root)
    shutil.rmtree(root.parent / "side")


WORKTREES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a change": (changed_worktree, "side of this repository: NOT SAVED: code.py: it is not in"),
    "a file": (new_in_worktree, "side of this repository: NOT SAVED: new.py: it is not in"),
    "without index": (changed_without_index, "this repository: NOT SAVED: code.py"),
    "the first": (main_worktree, "first of this repository: NOT SAVED: code.py"),
    "assume-unchanged": (in_worktree(hidden("assume-unchanged")), "code.py: the bit assume-"),
    "skip-worktree": (in_worktree(hidden("skip-worktree")), "code.py: the bit skip-worktree"),
    "a change in its submodule": (changed_in_its_submodule, "third_party/p/a.py: it is not in"),
    "a commit in its submodule": (committed_in_its_submodule, "p: submodule, whose commit"),
    "one that is saved": (saved_worktree, ""),
    "one that is gone": (removed_worktree, ""),
    "a clean one": (worktree, ""),
}
"""What another working tree of the repository has alone: how it is made, and what is said."""


@pytest.mark.parametrize("member", WORKTREES)
def test_other_working_trees_are_looked_through_as_this_one_is(
    repository: Path, there: Path, member: str
) -> None:
    make, said = WORKTREES[member]
    make(repository)
    found = saved(repository)[1]
    assert items.proven(found) == (not said), found
    assert said in facts(found, "wrong")


def test_a_name_that_differs_in_its_case_alone_is_told_with_a_cure_that_helps(
    repository: Path, there: Path
) -> None:
    git(repository, "config", "core.ignoreCase", "true")
    (repository / "CODE.py").write_text("other\n")
    (lack,) = [item for item in saved(repository)[1] if item.verdict == "wrong"]
    assert "CODE.py: it is not in the commit" in lack.fact
    assert "core.ignoreCase" in lack.cure
    git(repository, "config", "core.ignoreCase", "false")
    pushed, found = saved(repository)
    assert items.proven(found), found
    assert b"CODE.py" in names(there, pushed.branch)


def test_a_file_that_is_written_while_it_is_saved_is_named(repository: Path, there: Path) -> None:
    (repository / "code.py").write_text("x = 2\n")
    pushed = refs.push(repository, wip.save(repository), Deadline())
    (repository / "code.py").write_text("x = 3\n")
    found = held.items(repository, pushed)
    assert "code.py: it was written after the commit was begun" in facts(found, "warning")


def test_what_a_hook_takes_out_of_the_commit_is_named_and_the_next_backup_has_it(
    repository: Path, there: Path
) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\ngit rm --quiet --cached b.csv\n")
    hook.chmod(0o755)
    for name in ("a.csv", "b.csv"):
        (repository / name).write_text(name)
    made = wip.save(repository, "Both")
    assert made.branch == "main"
    assert "b.csv: it is not in the commit" in facts(held.items(repository, made), "wrong")
    pushed, found = saved(repository)
    assert items.proven(found), found
    assert b"b.csv" in names(there, pushed.branch)


def test_what_changed_before_is_not_taken_for_later_where_the_disk_s_clock_is_ahead(
    repository: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in ("core.checkStat=minimal", "core.trustctime=false"):
        git(repository, "config", *setting.split("="))
    file = repository / "code.py"
    os.utime(file, (1e9, 1e9))
    git(repository, "update-index", "--refresh")
    file.write_text("x = 2\n")
    os.utime(file, (1e9, 1e9))  # so that git sees no change
    late = time.time() - 7200
    monkeypatch.setattr(time, "time", lambda: late)
    _pushed, found = saved(repository)
    assert "code.py" in facts(found, "wrong"), found
