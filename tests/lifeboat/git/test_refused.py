"""Kind 2: what git does not take is left out by name, and everything else is saved."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from repositories import facts, git

from lifeboat import items, processes
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, index, lock_file, refs, taking, wip
from lifeboat.proof import held
from lifeboat.remotes import remote
from lifeboat.saving import backup
from lifeboat.stage.errors import UserError

pytestmark = [pytest.mark.kind(2), pytest.mark.usefixtures("elsewhere")]


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "ATTEMPTS", 2)


def filtered(command: str) -> Callable[[Path], None]:
    """A picture whose filter is required and does not work, as without git-lfs or nbstripout."""

    def make(root: Path) -> None:
        (root / ".gitattributes").write_text("*.png filter=own\n")
        git(root, "config", "filter.own.clean", command)
        git(root, "config", "filter.own.required", "true")
        (root / "bad.png").write_bytes(b"\x89PNG")

    return make


def ends_of_lines(root: Path) -> None:
    git(root, "config", "core.safecrlf", "true")
    git(root, "config", "core.autocrlf", "input")
    (root / "bad.txt").write_bytes(b"one\r\ntwo\n")


def encoded(root: Path) -> None:
    (root / ".gitattributes").write_text("bad.txt text working-tree-encoding=UTF-16\n")
    (root / "bad.txt").write_bytes(b"no mark, and odd")


def reserved_name(root: Path) -> None:
    git(root, "config", "core.protectNTFS", "true")
    (root / "bad").mkdir()
    (root / "bad" / "git~1").write_text("x\n")


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a filter that is not installed": (filtered("not-installed clean -- %f"), "bad.png"),
    "a filter that fails": (filtered("cat >/dev/null; exit 3"), "bad.png"),
    "ends of lines": (ends_of_lines, "bad.txt"),
    "an encoding": (encoded, "bad.txt"),
    "a reserved name": (reserved_name, "bad/git~1"),
}
"""Files that git refuses: how they are made, and their name."""


@pytest.mark.parametrize("message", ["", "Asked for"])
@pytest.mark.parametrize("member", REFUSED)
def test_a_file_that_git_refuses_is_named_and_all_else_is_saved(
    repository: Path, member: str, message: str
) -> None:
    make, name = REFUSED[member]
    make(repository)
    (repository / "code.py").write_text("x = 2\n")
    (repository / "new.py").write_text("y = 1\n")
    saved = wip.save(repository, message)
    (said,) = [item for item in saved.items if item.verdict == "wrong"]
    assert said.fact.startswith("NOT SAVED, because git does not take it (")
    assert said.fact.endswith(f": {name}.")
    assert saved.branch == ("main" if message else "wip/main")
    held = git(repository, "ls-tree", "-r", "--name-only", saved.commit).splitlines()
    assert {"code.py", "new.py"} <= set(held)
    assert name not in held
    assert git(repository, "show", f"{saved.commit}:code.py") == "x = 2"
    assert saved.left_out == {name}


def test_many_refused_files_are_found_among_many_others(repository: Path) -> None:
    filtered("not-installed")(repository)
    for number in range(40):
        (repository / f"{number}.py").write_text("x\n")
        if number % 8 == 0:
            (repository / f"{number}.png").write_text("x\n")
    saved = wip.save(repository)
    assert saved.left_out == {"bad.png", *(f"{n}.png" for n in range(0, 40, 8))}
    assert len(facts(saved.items, "wrong").splitlines()) == 1
    assert len(git(repository, "ls-tree", "-r", saved.commit).splitlines()) == 43


def test_a_commit_that_fails_leaves_a_half_staged_index_as_it_was(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (repository / "code.py").write_text("x = 2\n")
    git(repository, "add", "--all")
    (repository / "code.py").write_text("x = 3\n")
    before = (repository / ".git" / "index").read_bytes()
    saved = wip.save(repository, "Asked for")
    assert (repository / ".git" / "index").read_bytes() == before
    assert saved.branch == "wip/main"
    assert not (repository / ".git" / "index.lock").exists()


def taken_here(root: Path) -> None:
    git(root, "branch", "wip")


def taken_there(root: Path) -> None:
    git(root, "push", "--quiet", "origin", "HEAD:refs/heads/wip")


def taken_in_both(root: Path) -> None:
    taken_here(root)
    taken_there(root)


def is_it(root: Path) -> None:
    git(root, "branch", "--move", "wip")


def taken_further_in(root: Path) -> None:
    git(root, "branch", "wip/main/deeper")


TAKEN = {
    "here": taken_here,
    "in the remote": taken_there,
    "in both": taken_in_both,
    "the branch at hand": is_it,
    "a branch inside": taken_further_in,
}
"""Where a branch is that keeps `wip/main` from being made."""


@pytest.mark.parametrize("member", TAKEN)
def test_where_the_branch_cannot_be_made_another_one_is_and_comes_back(
    repository: Path, there: Path, member: str
) -> None:
    TAKEN[member](repository)
    (repository / "code.py").write_text("x = 2\n")
    pushed = [refs.push(repository, wip.save(repository), Deadline()) for _ in range(2)]
    assert pushed[0].proven, pushed[0].items
    assert pushed[0].branch == pushed[1].branch
    assert git(there, "show", f"{pushed[0].branch}:code.py") == "x = 2"
    here = git(repository, "branch", "--show-current")
    clone = repository.parent / "clone"
    git(repository.parent, "clone", "--quiet", "--branch", here, str(there), str(clone))
    found = [*taking.update(clone), *taking.take(clone)]
    assert items.proven(found), found
    assert (clone / "code.py").read_text() == "x = 2\n"


@pytest.mark.parametrize("dirty", [False, True])
def test_a_hook_that_keeps_pushes_back_keeps_no_work_here(
    repository: Path, there: Path, dirty: bool
) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "More")
    before = git(there, "rev-parse", "main")
    hook = repository / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'tests fail' >&2\nexit 1\n")
    hook.chmod(0o755)
    if dirty:
        (repository / "code.py").write_text("x = 2\n")
    pushed = refs.push(repository, wip.save(repository), Deadline())
    assert "tests fail" in facts(pushed.items, "warning")
    assert pushed.proven
    assert git(there, "rev-parse", "wip/main") == pushed.commit
    assert git(there, "rev-parse", "main") == before


def test_a_branch_of_the_user_called_wip_is_not_taken_for_one_of_ours(
    repository: Path, there: Path
) -> None:
    git(repository, "switch", "--quiet", "--create", "wip-ideas")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Only here")
    git(repository, "switch", "--quiet", "main")
    assert "1 other branch" in facts(refs.only_here(repository), "warning")


def test_a_shallow_clone_says_how_it_can_be_pushed(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "More")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    root = tmp_path / "shallow"
    git(root, "remote", "set-url", "origin", str(tmp_path / "empty.git"))
    cures = [item.cure for item in refs.push(root, wip.save(root), Deadline()).items]
    cures += [item.cure for item in commit.push(root)]
    assert len([cure for cure in cures if "git fetch --unshallow" in cure]) >= 2


def sign(root: Path) -> None:
    """Commits are signed by a key of ssh, and git shows that wherever it is let."""
    key = root / ".git" / "key"
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    allowed = root / ".git" / "allowed"
    allowed.write_text(f"test@localhost {key.with_suffix('.pub').read_text()}")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", str(key)),
        ("commit.gpgSign", "true"),
        ("gpg.ssh.allowedSignersFile", str(allowed)),
    ):
        git(root, "config", name, value)


SHOWN = {
    "log.showSignature": "true",
    "color.ui": "always",
    "column.ui": "always",
    "log.decorate": "full",
    "i18n.logOutputEncoding": "utf-16",
    "format.pretty": "fuller",
    "status.short": "true",
}
"""Settings that change what git prints."""


def test_settings_of_what_git_prints_keep_no_work_from_coming_back(
    repository: Path, there: Path
) -> None:
    sign(repository)
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Signed")
    git(repository, "push", "--quiet", "origin", "HEAD:refs/heads/wip/main")
    git(repository, "reset", "--quiet", "--hard", "HEAD~1")
    for name, value in SHOWN.items():
        git(repository, "config", name, value)
    found = [*taking.update(repository), *taking.take(repository)]
    assert found[-1].fact.startswith("HEAD has all of wip/main (20"), found
    (repository / "code.py").write_text("x = 2\n")
    saved = refs.push(repository, wip.save(repository), Deadline())
    assert saved.proven, saved.items


def test_a_repository_with_longer_ids_is_saved(tmp_path: Path) -> None:
    root, there = tmp_path / "root", tmp_path / "there.git"
    for place, *words in ((root,), (there, "--bare")):
        git(tmp_path, "init", "--quiet", "--object-format=sha256", *words, str(place))
    git(root, "remote", "add", "origin", str(there))
    for number in (1, 2):
        (root / "code.py").write_text(f"x = {number}\n")
        pushed = refs.push(root, wip.save(root), Deadline())
        found = [*pushed.items, *held.items(root, pushed)]
        assert items.proven(found), found
        assert git(there, "show", "wip/main:code.py") == f"x = {number}"


def waits(root: Path, seconds: int = 600) -> None:
    program = root / ".git" / "signs"
    program.write_text(f"#!/bin/sh\necho $$ > {root}/.git/waiting\nexec sleep {seconds}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    git(root, "config", "gpg.program", str(program))
    git(root, "config", "commit.gpgSign", "true")
    (root / "dvc.lock").write_text("schema: '2.0'\n")


def test_a_commit_that_waits_for_a_passphrase_is_ended_with_all_that_it_began(
    repository: Path,
) -> None:
    waits(repository)
    before = (repository / ".git" / "index").read_bytes()
    saved = wip.save(repository, deadline=Deadline.after(1.5))
    assert saved.branch == "wip/main"
    said = facts(saved.items, "warning")
    assert "the program that signs commits, which may ask for a passphrase" in said
    assert "index, HEAD and files were not touched" in facts(saved.items, "ok")
    assert (repository / ".git" / "index").read_bytes() == before
    assert not (repository / ".git" / "index.lock").exists()
    signer = int((repository / ".git" / "waiting").read_text())
    time.sleep(0.1)
    assert not os.path.exists(f"/proc/{signer}/exe") or _is_over(signer)


@pytest.mark.slow
def test_a_backup_in_a_hurry_leaves_nothing_of_a_commit_that_waits(
    project: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git(project, "remote", "add", "origin", str(tmp_path / "there.git"))
    waits(project)
    (project / "dvc.lock").write_text(git(project, "show", "HEAD:dvc.lock") + "\n# more\n")
    index_ = (project / ".git" / "index").read_bytes()
    found = backup.backup(project, seconds=20)
    assert items.proven(found), facts(found, "wrong")
    assert (project / ".git" / "index").read_bytes() == index_
    held = git(tmp_path / "there.git", "ls-tree", "-r", "--name-only", "wip/main").splitlines()
    assert any(name.endswith("receipt.json") for name in held)


def _is_over(process: int) -> bool:
    return "State:\tZ" in Path(f"/proc/{process}/status").read_text()


def test_what_is_waited_for_is_said(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits(repository, 1)
    monkeypatch.setattr(processes, "WAITING_S", 0.2)
    wip.save(repository, "Asked for")
    said = capsys.readouterr().err
    assert said.startswith("Still waiting for `git commit` (a hook of yours, or the program that")


def test_the_hook_looks_at_the_index_of_the_commit_that_it_is_called_for(
    repository: Path,
) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    source = Path(commit.__file__).parents[2]
    hook.write_text(
        f"#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -m lifeboat.git.commit code.py\n"
    )
    hook.chmod(0o755)
    token = "hf_" + "aB3" * 11
    (repository / "code.py").write_text(f"token = '{token}'\n")
    with pytest.raises(subprocess.CalledProcessError):  # `--all` stages in an index of its own
        git(repository, "commit", "--quiet", "--all", "--message", "By hand")
    (repository / "code.py").write_text("x = 2\n")
    git(repository, "commit", "--quiet", "--all", "--message", "By hand")


def test_more_files_than_are_tried_one_by_one_are_left_out_by_their_filter(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MOST", 3)
    filtered("not-installed")(repository)
    with (repository / ".gitattributes").open("a") as opened:
        opened.write("*.txt text working-tree-encoding=UTF-16\n")
    names = {f"{number}.{end}" for number in range(8) for end in ("png", "txt")}
    for name in names:
        (repository / name).write_text("odd")
    (repository / "code.py").write_text("x = 2\n")
    saved = wip.save(repository)
    assert saved.left_out == names | {"bad.png"}
    assert len([item for item in saved.items if item.verdict == "wrong"]) == 2, saved.items
    assert git(repository, "show", f"{saved.commit}:code.py") == "x = 2"


def unwritable(root: Path) -> None:
    """A database of objects that takes nothing, as on a full disk."""
    objects = root / ".git" / "objects"
    objects.rename(objects.with_name("full"))
    (root / ".git" / "objects").mkdir()
    (objects / "info").mkdir()
    (objects / "info" / "alternates").write_text("../full\n")
    for number in range(256):
        (objects / f"{number:02x}").write_text("")


def filters_all(root: Path) -> None:
    filtered("not-installed")(root)
    (root / ".gitattributes").write_text("*.png filter=own\n.gitattributes filter=own\n")


@pytest.mark.parametrize("make", [unwritable, filters_all])
def test_where_nothing_at_all_can_be_taken_that_is_an_error(
    repository: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(index, "MOST", 3)
    for number in range(8):
        (repository / f"{number}.png").write_text(f"{number}\n")
    make(repository)
    with pytest.raises(Exception, match="git cannot write a commit"):
        wip.save(repository)


def server(there: Path, rule: str) -> None:
    """A remote whose hook says and does something for each new object or ref."""
    hook = there / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nwhile read old new ref; do\n{rule}\ndone\n")
    hook.chmod(0o755)


LARGE = """git rev-list --objects $new --not --all | while read oid path; do
  [ $(git cat-file -s $oid) -lt 4000 ] || { echo "File SAID is too large."; exit 1; }
done || exit 1"""
BY_PATH, BY_ID = LARGE.replace("SAID", "$path"), LARGE.replace("SAID", "$oid (5 kB)")
DENIED = "echo 'No work at night'; exit 1"


def large(root: Path) -> None:
    (root / "big.bin").write_text("0" * 5000)


def large_in_a_commit(root: Path) -> None:
    large(root)
    git(root, "add", "big.bin")
    git(root, "commit", "--quiet", "--message", "Large")


def large_in_the_past(root: Path) -> None:
    large_in_a_commit(root)
    git(root, "rm", "--quiet", "big.bin")
    git(root, "commit", "--quiet", "--message", "Small")


def larger_than_it_was(root: Path) -> None:
    (root / "big.bin").write_text("small")
    git(root, "add", "big.bin")
    git(root, "commit", "--quiet", "--message", "Small")
    git(root, "push", "--quiet", "origin", "main")
    large_in_a_commit(root)


HELD_BACK: dict[str, tuple[str, Callable[[Path], None], set[str]]] = {
    "a large file": (BY_PATH, large, {"big.bin"}),
    "in a commit": (BY_PATH, large_in_a_commit, {"big.bin"}),
    "told by its id": (BY_ID, large_in_a_commit, {"big.bin"}),
    "in the past": (BY_PATH, large_in_the_past, set()),
    "larger than it was": (BY_PATH, larger_than_it_was, {"big.bin"}),
}
"""What a remote refuses for what it holds: its rule, what there is, and which files cannot go."""


@pytest.mark.parametrize("member", HELD_BACK)
def test_what_a_remote_refuses_is_left_out_and_all_else_goes_and_comes_back(
    repository: Path, there: Path, member: str
) -> None:
    rule, make, left_out = HELD_BACK[member]
    server(there, rule)
    make(repository)
    for number in (2, 3):  # the second follows the first
        (repository / "code.py").write_text(f"x = {number}\n")
        pushed = refs.push(repository, wip.save(repository), Deadline())
        assert not pushed.proven
        assert pushed.left_out == left_out, pushed.items
        assert git(there, "show", f"{pushed.branch}:code.py") == f"x = {number}"
        assert git(there, "rev-parse", pushed.branch) == pushed.commit
        assert all(name in facts(pushed.items, "wrong") for name in left_out)
        assert not [item for item in pushed.items if "ename the branch" in item.cure]
    clone = repository.parent / "clone"
    git(repository.parent, "clone", "--quiet", "--branch", "main", str(there), str(clone))
    found = [*taking.update(clone), *taking.take(clone)]
    assert items.proven(found), found
    assert (clone / "code.py").read_text() == "x = 3\n"


def test_a_rule_for_names_is_told_with_a_way_out(repository: Path, there: Path) -> None:
    server(there, "case $ref in */main*|*/wip*) echo 'Not that name'; exit 1;; esac")
    (repository / "code.py").write_text("x = 2\n")
    pushed = refs.push(repository, wip.save(repository), Deadline())
    (wrong,) = [item for item in pushed.items if item.verdict == "wrong"]
    assert "THE CODE IS NOT SAVED THERE" in wrong.fact
    assert "git switch -c NAME" in wrong.cure
    assert facts(pushed.items, "warning").count("Not that name") == 1
    git(repository, "switch", "--quiet", "--create", "allowed")
    found = [*commit.commit(repository, "Work"), *commit.push(repository)]
    assert items.proven(found), found


@pytest.mark.kind(8)
@pytest.mark.parametrize("verb", ["backup", "push"])
def test_what_the_remote_says_is_told(repository: Path, there: Path, verb: str) -> None:
    server(there, DENIED)
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "More")
    if verb == "push":
        found = commit.push(repository)
    else:
        found = refs.push(repository, wip.save(repository), Deadline()).items
    assert "(the remote says: No work at night)" in "".join(item.fact for item in found)


EMPTIED = {"the tree": "HEAD^{tree}", "the commit": "HEAD"}
"""Objects of git's of which a crash has left the names alone."""


@pytest.mark.kind(8)
@pytest.mark.parametrize("member", EMPTIED)
def test_the_cure_for_what_a_crash_has_emptied_works(
    repository: Path, there: Path, member: str
) -> None:
    (repository / "code.py").write_text("x = 2\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Two")
    git(repository, "push", "--quiet", "origin", "main")
    id_ = git(repository, "rev-parse", EMPTIED[member])
    emptied = repository / ".git" / "objects" / id_[:2] / id_[2:]
    emptied.unlink()
    emptied.touch()
    (repository / "code.py").write_text("x = 3\n")
    with pytest.raises(UserError) as caught:
        wip.save(repository)
    for command in str(caught.value).split("`")[1:4:2]:
        subprocess.run(command, cwd=repository, shell=True, check=True)
    pushed = refs.push(repository, wip.save(repository), Deadline())
    assert pushed.proven, pushed.items
    assert git(there, "show", "wip/main:code.py") == "x = 3"


SET_ASIDE = {
    "a mirror": ("remote.origin.mirror", "true"),
    "signed pushes": ("push.gpgSign", "true"),
    "options of pushes": ("push.pushOption", "ci.skip"),
}
"""Settings with which git pushes no branch by its name, or asks what the remote cannot do."""


@pytest.mark.parametrize("verb", ["backup", "push"])
@pytest.mark.parametrize("member", SET_ASIDE)
def test_a_setting_keeps_no_push_back(
    repository: Path, there: Path, member: str, verb: str
) -> None:
    git(repository, "config", *SET_ASIDE[member])
    git(there, "config", "receive.advertisePushOptions", "false")
    git(there, "branch", "theirs", "main")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "More")
    if verb == "push":
        found = commit.push(repository)
    else:
        found = refs.push(repository, wip.save(repository), Deadline()).items
    assert items.proven(found), found
    assert git(there, "rev-parse", "main") == git(repository, "rev-parse", "HEAD")
    assert git(there, "rev-parse", "theirs")


ADDRESSES: dict[str, tuple[tuple[str, ...], str]] = {
    "a folder here first": (("own-here.git", "there.git"), ""),
    "a folder here last": (("there.git", "own-here.git"), ""),
    "one here that is gone": (("gone-here.git", "there.git"), "gone-here.git"),
    "one here that is gone, last": (("there.git", "gone-here.git"), "gone-here.git"),
    "one elsewhere that is gone": (("gone.git", "there.git"), "gone.git"),
    "one that nobody answers for": (("http://127.0.0.1:9/x.git", "there.git"), "127.0.0.1:9"),
    "one that takes nothing": (("strict.git", "there.git"), "strict.git"),
    "one that takes nothing, last": (("there.git", "strict.git"), "strict.git"),
}
"""Addresses that one remote is pushed to, and which of them is to be named."""


@pytest.mark.parametrize("verb", ["backup", "push"])
@pytest.mark.parametrize("member", ADDRESSES)
def test_of_several_addresses_each_is_pushed_to_and_one_elsewhere_is_the_proof(
    repository: Path, there: Path, member: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "same_disk", lambda folder, _: folder.name.endswith("-here.git"))
    names, named = ADDRESSES[member]
    for name in ("own-here.git", "strict.git"):
        git(repository.parent, "init", "--quiet", "--bare", name)
    server(there.with_name("strict.git"), "exit 1")
    for name in names:
        url = name if ":" in name else str(there.with_name(name))
        git(repository, "config", "--add", "remote.origin.pushurl", url)
    (repository / "code.py").write_text("x = 2\n")
    if verb == "push":
        found, branch = [*commit.commit(repository, "Work"), *commit.push(repository)], "main"
    else:
        pushed = refs.push(repository, wip.save(repository), Deadline.after(60))
        found, branch = pushed.items, pushed.branch
        assert pushed.proven and pushed.url == str(there)
    assert items.proven(found), found
    assert "ONLY ON THIS MACHINE" not in str(found)
    assert (named or "on another file system") in facts(found, "warning")
    assert "own-here.git" not in facts(found, "warning")
    tip = git(repository, "rev-parse", branch)
    for name in {"there.git", "own-here.git"} if "own-here.git" in names else {"there.git"}:
        assert git(there.with_name(name), "rev-parse", branch) == tip
    assert git(repository, "rev-parse", f"origin/{branch}") == tip


def without_rights(index_: Path) -> None:
    index_.unlink()
    index_.mkdir()


def without_its_other_half(index_: Path) -> None:
    git(index_.parents[1], "update-index", "--split-index")
    for half in index_.parent.glob("sharedindex.*"):
        half.unlink()


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "empty": lambda index_: index_.write_bytes(b""),
    "zeros": lambda index_: index_.write_bytes(bytes(400)),
    "a text": lambda index_: index_.write_text("version https://git-lfs.github.com/spec/v1\n" * 3),
    "of a later git": lambda index_: index_.write_bytes(b"DIRC\0\0\0\x09" + bytes(40)),
    "a folder": without_rights,
    "half of it gone": without_its_other_half,
}
"""Indexes that no git can read."""


@pytest.mark.parametrize("verb", ["backup", "push"])
@pytest.mark.parametrize("member", UNREADABLE)
def test_an_index_that_git_cannot_read_keeps_no_code_back(
    repository: Path, there: Path, member: str, verb: str
) -> None:
    (repository / "code.py").write_text("x = 2\n")
    (repository / "new.py").write_text("y = 1\n")
    (repository / "kept.py").write_text("z = 1\n")
    git(repository, "add", "kept.py")
    UNREADABLE[member](repository / ".git" / "index")
    before = list((repository / ".git" / "index").parent.glob("index*"))
    (said,) = index.unreadable(repository)
    assert "cannot read its index" in said.fact and "git reset -q" in said.cure
    if verb == "push":
        found, branch = [*commit.commit(repository, "Work"), *commit.push(repository)], "main"
    else:
        pushed = refs.push(repository, wip.save(repository), Deadline.after(60))
        found, branch = [*pushed.items, *held.items(repository, pushed)], "wip/main"
    assert items.proven(found), found
    for name in ("code.py", "new.py", "kept.py", ".gitignore"):
        assert git(there, "show", f"{branch}:{name}") == (repository / name).read_text().strip()
    assert list((repository / ".git" / "index").parent.glob("index*")) == before
    assert processes.stand_in(repository)  # and nobody has mended it


def test_what_a_sparse_checkout_leaves_out_is_in_the_commit_whatever_the_index_is(
    repository: Path,
) -> None:
    (repository / "far").mkdir()
    (repository / "far" / "a.py").write_text("a\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Far")
    git(repository, "sparse-checkout", "set", "--cone", ".dvc")
    (repository / ".git" / "index").write_bytes(b"")
    (repository / "code.py").write_text("x = 2\n")
    saved = wip.save(repository)
    assert git(repository, "diff", "--name-only", "HEAD", saved.commit) == "code.py"


def test_who_mends_the_index_has_it_back(repository: Path) -> None:
    whole = (repository / ".git" / "index").read_bytes()
    (repository / ".git" / "index").write_bytes(b"")
    assert commit.changed(repository) == []
    (repository / ".git" / "index").write_bytes(whole)
    git(repository, "rm", "--quiet", "--cached", "code.py")
    assert commit.status(repository) == [("D ", "code.py"), ("??", "code.py")]
    assert not processes.stand_in(repository)


def test_a_backup_whose_index_git_cannot_read_is_whole_and_says_so(
    project: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git(project, "remote", "add", "origin", str(tmp_path / "there.git"))
    (project / ".git" / "index").write_bytes(b"")
    (project / "params.yaml").write_text("seed: 2\n")
    found = backup.backup(project)
    assert items.proven(found), facts(found, "wrong")
    assert "git cannot read its index" in facts(found, "warning")
    assert git(tmp_path / "there.git", "show", "wip/main:params.yaml") == "seed: 2"
    taken = [path.read_text() for path in (project / "runs").glob("*/git_diff.patch")]
    assert "+seed: 2" in taken[0]
