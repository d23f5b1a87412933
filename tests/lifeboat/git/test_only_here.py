import subprocess
from pathlib import Path

from lifeboat.git import refs


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def test_stashes_branches_and_experiments_that_no_remote_has_are_told(
    repository: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git(repository, "remote", "add", "origin", str(tmp_path / "there.git"))
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
