import subprocess
from pathlib import Path

import pytest

from backtracking.operations import commit, items, remote


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_everything_that_is_not_ignored_is_committed(repository: Path) -> None:
    (repository / "code.py").write_text("x = 2\n")
    (repository / "ümlaut and space.txt").write_text("new\n")
    (repository / ".env").write_text("HF_TOKEN=x\n")
    found = commit.commit(repository, "Work")
    assert items.proven(found)
    assert "Committed 2 changed files" in found[0].fact
    assert git(repository, "status", "--porcelain") == ""
    assert ".env" not in git(repository, "ls-files")
    assert git(repository, "log", "-1", "--format=%s") == "Work"


def test_renamed_and_deleted_files_are_committed_too(repository: Path) -> None:
    (repository / "code.py").rename(repository / "renamed.py")
    assert items.proven(commit.commit(repository, "Work"))
    assert git(repository, "ls-files").split() == [".gitignore", "renamed.py"]


def test_nothing_to_commit_is_said(repository: Path) -> None:
    found = commit.commit(repository, "Work")
    assert items.proven(found)
    assert "Nothing to commit" in found[0].fact


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (".env.local", b"A=b\n", "accounts and keys"),
        ("config.local", b"x\n", "keys that stay on this machine"),
        ("weights.safetensors", b"0" * (commit.MAX_BYTES + 1), "10.0 MB"),
        ("notes.md", b"the token is hf_" + b"aB3" * 11 + b"\n", "notes.md, line 1"),
        ("sub/.env", b"A=b\n", "accounts and keys"),
    ],
)
def test_one_refused_file_stops_the_whole_commit(
    repository: Path, name: str, content: bytes, reason: str
) -> None:
    (repository / ".gitignore").unlink()
    path = repository / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    before = git(repository, "rev-parse", "HEAD")
    found = commit.commit(repository, "Work")
    assert not items.proven(found)
    assert any(reason in item.fact for item in found)
    assert found[-1].fact == "NOTHING WAS COMMITTED."
    assert git(repository, "rev-parse", "HEAD") == before
    assert git(repository, "diff", "--cached", "--name-only") == ""


def test_a_refused_secret_is_not_repeated(repository: Path) -> None:
    planted = "hf_" + "aB3" * 11
    (repository / "notes.md").write_text(f"{planted}\n")
    assert planted not in str(commit.commit(repository, "Work"))


def test_a_failing_hook_is_reported_and_not_skipped(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'house rule 7' >&2\nexit 1\n")
    hook.chmod(0o755)
    (repository / "code.py").write_text("x = 2\n")
    found = commit.commit(repository, "Work")
    assert not items.proven(found)
    assert "house rule 7" in found[0].fact


def test_a_push_is_believed_when_the_remote_shows_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git(repository, "remote", "add", "origin", str(tmp_path / "there.git"))
    found = commit.push(repository)
    head = git(repository, "rev-parse", "HEAD")
    assert head[:7] in found[0].fact
    assert "main" in found[0].fact
    assert git(tmp_path / "there.git", "rev-parse", "main") == head
    assert found[0].verdict == "wrong"
    assert "ONLY ON THIS MACHINE" in found[0].fact
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    assert commit.push(repository)[0].verdict == "warning"


def test_a_remote_that_moved_on_is_a_failed_push(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git(repository, "remote", "add", "origin", str(tmp_path / "there.git"))
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Ahead")
    commit.push(repository)
    git(repository, "reset", "--quiet", "--hard", "HEAD~1")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Elsewhere")
    found = commit.push(repository)
    assert found[0].verdict == "wrong"
    assert "`git push` to origin failed" in found[0].fact


@pytest.mark.parametrize(
    ("command", "expected"),
    [([], "ONLY ON THIS MACHINE"), (["switch", "--quiet", "--detach"], "HEAD is detached")],
)
def test_code_that_cannot_be_pushed_is_said_to_be_unsaved(
    repository: Path, command: list[str], expected: str
) -> None:
    if command:
        git(repository, *command)
    found = commit.push(repository)
    assert found[0].verdict == "wrong"
    assert expected in found[0].fact


def test_the_hook_names_what_must_not_be_committed(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    (repository / ".env").write_text("A=b\n")
    assert commit.main(["code.py"]) == 0
    assert commit.main(["code.py", ".env"]) == 1
    assert ".env, because it holds accounts and keys" in capsys.readouterr().out
