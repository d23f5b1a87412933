import shutil
from pathlib import Path

import pytest
from repositories import git, remote_of

from lifeboat.git import taking, wip
from lifeboat.items import Item, proven


@pytest.fixture
def origin(repository: Path) -> Path:
    """A bare remote to which `repository` has pushed its branch."""
    there = remote_of(repository)
    git(repository, "push", "--quiet", "-u", "origin", "main")
    return there


def leave_work(repository: Path) -> str:
    """Edits, makes and removes files on the first machine; the wip commit that is pushed."""
    (repository / "code.py").write_text("x = 2\n")
    (repository / "new").mkdir(exist_ok=True)
    (repository / "new" / "naïve name.txt").write_text("new\n")
    (repository / "latin.txt").write_bytes(b"caf\xe9\r\n")
    (repository / ".gitignore").unlink(missing_ok=True)
    saved = wip.save(repository, aside=True)
    git(repository, "push", "--quiet", "origin", f"{saved.commit}:refs/heads/{saved.branch}")
    return saved.commit


def clone(origin: Path, *options: str) -> Path:
    root = origin.parent / "clone"
    git(origin.parent, "clone", "--quiet", *options, f"file://{origin}", str(root))
    return root


def restored(root: Path) -> list[Item]:
    return [*taking.update(root), *taking.take(root)]


def same_files(one: Path, other: Path) -> bool:
    contents = [
        {
            path.relative_to(root): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and ".git" not in path.relative_to(root).parts
        }
        for root in (one, other)
    ]
    return contents[0] == contents[1]


@pytest.mark.parametrize("options", [(), ("--single-branch",), ("--depth=1",)])
def test_a_fresh_clone_gets_the_unfinished_work_as_changes_of_its_tree(
    repository: Path, origin: Path, options: tuple[str, ...]
) -> None:
    leave_work(repository)
    root = clone(origin, *options)
    head = git(root, "rev-parse", "HEAD")
    (item,) = restored(root)
    assert item.fact.startswith("4 files are as the newest unfinished work has them: wip/main (20")
    assert same_files(repository, root)
    assert git(root, "rev-parse", "HEAD") == head
    assert git(root, "diff", "--cached", "--name-only") == ""
    assert restored(root)[0].fact == item.fact


def test_without_unfinished_work_that_is_said(repository: Path, origin: Path) -> None:
    root = clone(origin)
    (item,) = restored(root)
    assert item.fact == "There is no unfinished work (wip/main) of this branch on git's remote."
    git(repository, "push", "--quiet", "origin", "main:refs/heads/wip/main")
    (item,) = restored(root)
    assert item.fact.startswith("HEAD has all of wip/main")


@pytest.mark.parametrize("name", ["code.py", "latin.txt", "mine.txt"])
def test_changes_of_the_user_keep_it_out_and_stay(
    repository: Path, origin: Path, name: str
) -> None:
    leave_work(repository)
    root = clone(origin)
    (root / name).write_text("mine\n")
    (item,) = restored(root)
    assert item.verdict == "warning"
    assert f"was not taken: there are changes here ({name})" in item.fact
    assert (root / name).read_text() == "mine\n"
    assert git(root, "status", "--porcelain").endswith(name)


def test_a_staged_change_keeps_it_out(repository: Path, origin: Path) -> None:
    leave_work(repository)
    root = clone(origin)
    (root / "code.py").write_text("x = 3\n")
    git(root, "add", "code.py")
    (root / "code.py").write_text("x = 1\n")
    assert "there are changes here (code.py)" in restored(root)[0].fact
    assert git(root, "show", ":code.py") == "x = 3"


def test_an_ignored_file_is_not_overwritten(repository: Path, origin: Path) -> None:
    (repository / "logs").mkdir()
    (repository / "logs" / "x").write_text("theirs\n")
    (repository / ".gitignore").unlink()
    leave_work(repository)
    root = clone(origin)
    (root / "logs").mkdir()
    (root / "logs" / "x").write_text("mine\n")
    assert "there are changes here (logs/x)" in restored(root)[0].fact
    assert (root / "logs" / "x").read_text() == "mine\n"


def test_a_folder_in_the_place_of_a_file_keeps_it_out(repository: Path, origin: Path) -> None:
    leave_work(repository)
    root = clone(origin)
    (root / "latin.txt").mkdir()
    (root / "latin.txt" / "mine").write_text("mine\n")
    (item,) = restored(root)
    assert item.verdict == "warning"
    assert (root / "latin.txt" / "mine").read_text() == "mine\n"


def test_an_interrupted_taking_goes_on(repository: Path, origin: Path) -> None:
    leave_work(repository)
    root = clone(origin)
    (root / "code.py").write_text("x = 2\n")
    (root / ".gitignore").unlink()
    assert "4 files are as" in restored(root)[0].fact
    assert same_files(repository, root)


def test_a_branch_that_is_behind_moves_up_first_where_nothing_is_changed(
    repository: Path, origin: Path
) -> None:
    root, behind = clone(origin), origin.parent / "behind"
    shutil.copytree(root, behind)
    (repository / "code.py").write_text("x = 5\n")
    git(repository, "commit", "--quiet", "--all", "--message", "More")
    git(repository, "push", "--quiet", "origin", "main")
    leave_work(repository)
    moved, taken = restored(root)
    assert moved.fact == "Moved up by 1 commit, to what the remote has."
    assert "4 files are as" in taken.fact
    (behind / "mine").write_text("mine\n")
    first, second = restored(behind)
    assert first.fact == "The remote is ahead by 1 commit, and there are changes here."
    assert "was not taken" in second.fact
    assert proven([first, second])


def test_unfinished_work_that_head_has_left_behind_is_not_taken(
    repository: Path, origin: Path
) -> None:
    leave_work(repository)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Finished")
    git(repository, "push", "--quiet", "origin", "main")
    root = clone(origin)
    (item,) = restored(root)
    assert "HEAD has all of wip/main" in item.fact
    (repository / "code.py").write_text("x = 7\n")
    git(repository, "commit", "--quiet", "--all", "--message", "More")
    git(repository, "push", "--quiet", "origin", "main")
    moved, item = restored(root)
    assert "it starts from an earlier commit than HEAD, and is older" in item.fact
    assert (root / "code.py").read_text() == "x = 7\n"


def test_files_of_accounts_are_never_taken(repository: Path, origin: Path) -> None:
    (repository / ".env").write_text("HOME=/\n")
    git(repository, "add", "--force", ".env")
    git(repository, "commit", "--quiet", "--message", "bad")
    git(repository, "push", "--quiet", "origin", "HEAD:refs/heads/wip/main")
    git(repository, "reset", "--quiet", "--hard", "HEAD~1")
    root = clone(origin)
    assert "HEAD has all of" in restored(root)[0].fact
    assert not (root / ".env").exists()


def test_a_remote_out_of_reach_is_a_warning(repository: Path, origin: Path) -> None:
    leave_work(repository)
    root = clone(origin)
    git(root, "remote", "set-url", "origin", str(origin.parent / "gone"))
    failed, taken = restored(root)
    assert failed.verdict == "warning"
    assert "`git fetch origin` failed" in failed.fact
    assert "4 files are as" in taken.fact


def test_of_several_machines_the_newest_work_is_taken_and_the_others_are_named(
    repository: Path, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_work(repository)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2090-01-01T00:00:00")
    own = f"wip/main.{'0' * 16}-{'1' * 8}"
    elsewhere = clone(origin)
    (elsewhere / "code.py").write_text("x = 9\n")
    git(elsewhere, "commit", "--quiet", "--all", "--message", "x")
    git(elsewhere, "push", "--quiet", "origin", f"HEAD:refs/heads/{own}")
    git(elsewhere, "push", "--quiet", "origin", "HEAD:refs/heads/wip/main.other-branch")
    root = elsewhere.rename(origin.parent / "aside").parent / "clone"
    clone(origin)
    first, second = restored(root)
    assert f"1 files are as the newest unfinished work has them: {own} (2090" in first.fact
    assert second.verdict == "warning"
    assert "other unfinished work of this branch, which was not taken: wip/main (" in second.fact
    assert "other-branch" not in second.fact


def test_work_of_a_project_in_a_folder_of_its_repository_comes_back_with_what_is_around(
    repository: Path, origin: Path
) -> None:
    study = repository / "study"
    study.mkdir()
    (study / "new.py").write_text("new\n")
    (repository / "beside.py").write_text("beside\n")
    saved = wip.save(study, aside=True)
    git(repository, "push", "--quiet", "origin", f"{saved.commit}:refs/heads/{saved.branch}")
    root = clone(origin)
    (root / "study").mkdir()
    found = restored(root / "study")
    assert proven(found), found
    assert same_files(repository, root)


def commit_run(root: Path) -> None:
    """A snapshot that a backup has committed on its branch."""
    (root / "runs" / "20260101_000000").mkdir(parents=True)
    (root / "runs" / "20260101_000000" / "metadata.txt").write_text("x\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A run")


def push_branch(root: Path) -> None:
    git(root, "push", "--quiet", "origin", "tiny")


def leave_pushed(root: Path) -> None:
    push_branch(root)
    leave_work(root)


def leave_run(root: Path) -> None:
    commit_run(root)
    push_branch(root)


def merge_run(root: Path) -> None:
    leave_run(root)
    git(root, "push", "--quiet", "origin", "tiny:main")


ELSEWHERE = {
    "unfinished work": (leave_pushed, "git switch tiny"),
    "of a branch that was never pushed": (leave_work, "git switch --create tiny origin/wip/tiny"),
    "runs": (leave_run, "git switch tiny"),
    "runs that are here as well": (merge_run, ""),
    "nothing": (push_branch, ""),
}
"""What another branch has, and how it is checked out, where that is said."""


@pytest.mark.kind(8)
@pytest.mark.parametrize("member", ELSEWHERE)
def test_work_on_another_branch_is_named_and_found_there(
    repository: Path, origin: Path, member: str
) -> None:
    leave, cure = ELSEWHERE[member]
    git(repository, "switch", "--quiet", "--create", "tiny")
    leave(repository)
    root = clone(origin)
    first, *others = restored(root)
    assert first.fact == "There is no unfinished work (wip/main) of this branch on git's remote."
    assert len(others) == bool(cure)
    if cure:
        assert "that this one has not: tiny." in others[0].fact
        assert f"`{cure}`" in others[0].cure
        git(root, *cure.split()[1:])
        restored(root)
        assert same_files(root, repository)
