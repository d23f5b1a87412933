import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repositories import facts, git, remote_of

from backtracking import PROJECT_ROOT
from lifeboat import items
from lifeboat.git import commit
from lifeboat.remotes import remote
from lifeboat.secrets import refusing


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


def test_a_push_is_believed_when_the_remote_shows_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = remote_of(repository)
    found = commit.push(repository)
    head = git(repository, "rev-parse", "HEAD")
    assert head[:7] in found[0].fact
    assert "main" in found[0].fact
    assert git(there, "rev-parse", "main") == head
    assert found[0].verdict == "wrong"
    assert "ONLY ON THIS MACHINE" in found[0].fact
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    assert commit.push(repository)[0].verdict == "warning"


def test_a_remote_that_moved_on_is_a_failed_push(repository: Path) -> None:
    remote_of(repository)
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


HF = "hf_" + "aB3" * 11
AWS_SECRET = "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCYzQ9aB3dE7f"  # pragma: allowlist secret
RANDOM = "Zx8Qp2Lr7Vt4Wk9Ny3" + "Hs6Jd1Bf5Mc0GaTeUiOq"
CELL = {"cell_type": "code", "source": ["x\n"], "outputs": [{"text": [f"{HF}\n"]}]}
PLANTED: dict[str, bytes] = {
    "hf.md": f"the token is {HF}\n".encode(),
    "wandb.sh": b"export WANDB_API_KEY=" + b"0123abcd" * 5 + b"\n",
    "aws.txt": b"id: AKIA" + b"ABCDEFGH12345678\n",
    "aws_secret.txt": f"aws_secret_access_key = {AWS_SECRET}\n".encode(),
    "github.txt": b"ghp_" + b"a1B2" * 9 + b"\n",
    "github_fine.txt": b"github_pat_" + b"11ABCDEFG0" * 5 + b"\n",
    "openai.py": b'KEY = "sk-' + b'proj-a1B2c3D4e5F6g7H8"\n',
    "key.pem": b"-----BEGIN OPENSSH " + b"PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n",
    "entropy.py": f'value = "{RANDOM}"\n'.encode(),
    "utf16.txt": f"token {HF}\n".encode("utf-16"),
    "weights.bin": bytes(range(256)) + HF.encode() + bytes(range(256)),
    "01_look.ipynb": json.dumps({"cells": [CELL]}).encode(),
    f"{HF}.txt": b"harmless\n",
    ".env": b"A=b\n",
    ".env.local": b"A=b\n",
    "prod.env": b"A=b\n",
    ".netrc": b"machine host\n",
    ".dvc/config.local": b"[core]\n",
    ".dvc/config": f"['remote \"s3\"']\n    secret_access_key = {AWS_SECRET}\n".encode(),
    "large.npz": b"\0" * (refusing.MAX_BYTES + 1),
}
"""A file of each kind that must never get into git."""


def plant(root: Path) -> None:
    for name, data in PLANTED.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    (root / "link").symlink_to(".env")
    (root / "sub").mkdir(exist_ok=True)
    (root / "sub" / ".env").symlink_to("nowhere")


def shown(path: str) -> str:
    """How a path is named in a message."""
    return path.replace(HF, "[redacted]")


@pytest.fixture
def planted(repository: Path) -> Path:
    """A repository with a file of each kind, none of them ignored or staged."""
    (repository / ".gitignore").write_text(".venv\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Ignore less")
    plant(repository)
    return repository


ALL = [*PLANTED, "link", "sub/.env"]


def assert_each_is_named_and_none_told(said: str) -> None:
    lines = said.splitlines()
    for name in ALL:
        assert any(f": {shown(name)}, " in line for line in lines), name
    for secret in (HF, AWS_SECRET, RANDOM, "0123abcd0123"):
        assert secret not in said


def test_a_push_refuses_each_kind_of_secret_and_names_it(planted: Path) -> None:
    before = git(planted, "rev-parse", "HEAD")
    found = commit.commit(planted, "Work")
    said = "\n".join(item.fact for item in found)
    assert_each_is_named_and_none_told(said)
    for fact in (
        ".env.local, because it holds accounts and keys",
        ".dvc/config.local, because it is the place for keys that stay on this machine",
        "large.npz, because it has 10.0 MB",
        "hf.md, line 1 looks like a secret",
    ):
        assert fact in said
    assert found[-1].fact == "NOTHING WAS COMMITTED."
    assert git(planted, "rev-parse", "HEAD") == before
    assert git(planted, "diff", "--cached", "--name-only") == ""


def commit_by_hand(root: Path) -> subprocess.CompletedProcess[str]:
    command = ["git", "commit", "--quiet", "--message", "By hand"]
    variables = {**os.environ, "PRE_COMMIT_HOME": str(root.parent / "pre-commit")}
    return subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True)


@pytest.fixture
def hooked(planted: Path) -> Path:
    """The same with the hooks of this project, as `pre-commit install` sets them up."""
    (planted / ".venv").symlink_to(sys.prefix)
    shutil.copyfile(PROJECT_ROOT / ".pre-commit-config.yaml", planted / ".pre-commit-config.yaml")
    subprocess.run(
        [Path(sys.executable).parent / "pre-commit", "install"],
        cwd=planted,
        env={**os.environ, "PRE_COMMIT_HOME": str(planted.parent / "pre-commit")},
        check=True,
        capture_output=True,
    )
    return planted


def test_the_hook_refuses_each_kind_of_secret_in_a_commit_by_hand(hooked: Path) -> None:
    before = git(hooked, "rev-parse", "HEAD")
    git(hooked, "add", "--all", "--force", "--", *ALL, ".pre-commit-config.yaml")
    done = commit_by_hand(hooked)
    assert done.returncode == 1
    assert_each_is_named_and_none_told(done.stdout + done.stderr)
    assert git(hooked, "rev-parse", "HEAD") == before
    git(hooked, "reset", "--quiet")
    git(hooked, "add", ".pre-commit-config.yaml", "code.py")
    done = commit_by_hand(hooked)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_hook_looks_at_what_is_staged_and_not_at_the_file(
    planted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(planted)
    git(planted, "add", "hf.md")
    (planted / "hf.md").write_text("nothing any more\n")
    assert commit.main(["hf.md"]) == 1
    assert "hf.md, line 1 looks like a secret (Hugging Face token)" in capsys.readouterr().out
    git(planted, "add", "hf.md")
    (planted / "hf.md").write_bytes(PLANTED["hf.md"])
    assert commit.main(["hf.md", "code.py"]) == 0
    assert commit.main(["code.py", "prod.env"]) == 1  # which is not staged
    assert "prod.env, because it holds accounts and keys" in capsys.readouterr().out


def test_a_secret_in_a_commit_by_hand_is_not_pushed_even_when_a_later_one_takes_it_out(
    repository: Path,
) -> None:
    there = remote_of(repository)
    commit.push(repository)
    pushed = git(there, "rev-parse", "main")
    (repository / "notes.md").write_bytes(PLANTED["hf.md"])
    git(repository, "add", "notes.md")
    git(repository, "commit", "--quiet", "--message", "By hand")
    culprit = git(repository, "rev-parse", "--short", "HEAD")
    (repository / "notes.md").write_text("nothing any more\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Mended")
    found = commit.push(repository)
    assert not items.proven(found)
    assert f"Not pushed: commit {culprit}, notes.md, line 1 looks like" in found[0].fact
    assert "git reset --soft origin/" in found[0].cure
    assert git(there, "rev-parse", "main") == pushed
    git(repository, "reset", "--quiet", "--soft", "origin/main")
    git(repository, "commit", "--quiet", "--message", "Anew")
    commit.push(repository)
    assert git(there, "rev-parse", "main") == git(repository, "rev-parse", "HEAD")


def test_a_secret_in_a_message_is_refused_in_both_places(repository: Path) -> None:
    (repository / "code.py").write_text("x = 2\n")
    found = commit.commit(repository, f"Use {HF}")
    assert "The message of the commit looks like" in found[0].fact
    assert found[-1].fact == "NOTHING WAS COMMITTED."
    remote_of(repository)
    commit.push(repository)
    git(repository, "commit", "--quiet", "--all", "--message", f"By hand\n\nkey {HF}")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Fine")
    found = commit.push(repository)
    assert "Not pushed: the message of commit" in found[0].fact
    assert HF not in str(found)


def test_before_the_first_push_the_files_of_the_commit_are_looked_at(planted: Path) -> None:
    there = remote_of(planted)
    git(planted, "add", "--all", "--force", "--", *ALL)
    git(planted, "commit", "--quiet", "--message", "By hand")
    found = commit.push(planted)
    said = "\n".join(item.fact for item in found)
    assert all(f", {shown(name)}, " in said for name in PLANTED), said
    assert found[-1].fact == "THE CODE WAS NOT PUSHED."
    assert git(there, "branch") == ""


MERGES: dict[str, tuple[str | None, str | None]] = {
    "both changed": ("x = 2\n", "x = 3\n"),
    "deleted here": (None, "x = 3\n"),
    "deleted there": ("x = 2\n", None),
    "bytes": ("x\0\n", "y\0\n"),
}
"""What either side of a merge made of a file."""


@pytest.mark.kind(1)
@pytest.mark.parametrize("member", MERGES)
def test_a_merge_that_nobody_has_mended_is_not_committed(repository: Path, member: str) -> None:
    def leave(text: str | None, branch: str) -> None:
        git(repository, "switch", "--quiet", *branch.split())
        file = repository / "code.py"
        file.unlink() if text is None else file.write_text(text)
        git(repository, "commit", "--quiet", "--all", "--message", branch)

    ours, theirs = MERGES[member]
    leave(theirs, "--create theirs")
    leave(ours, "main")
    subprocess.run(["git", "merge", "theirs"], cwd=repository, capture_output=True)
    found = commit.commit(repository, "Work")
    assert "merge CONFLICT in code.py" in facts(found, "wrong")
    assert "NOTHING WAS COMMITTED" in facts(found, "wrong")
    (repository / "code.py").write_text("x = 4\n")
    git(repository, "add", "code.py")
    assert items.proven(commit.commit(repository, "Mended"))
    assert git(repository, "rev-parse", "HEAD^2") == git(repository, "rev-parse", "theirs")
