"""A DVC project that knows nothing of this study, and the command line `lifeboat` in it."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT

DVC_YAML = """\
stages:
  squares:
    cmd: exec python squares.py
    deps:
      - squares.py
    outs:
      - out/squares
"""
SCRIPT = """\
import sys, time
from pathlib import Path
from lifeboat.stage import interruption
from lifeboat.stage.units import Units
def square(n):
    with open("made.log", "a") as log: log.write(f"{n}\\n")
    return n * n
interruption.install()
units, found = Units(Path("."), ["squares"]), []
for n in range(1, 5):
    found.append(units.get("out/squares", f"{n:064x}", lambda: square(n)))
    while Path("wait").exists() and n == 2:
        interruption.checkpoint(); time.sleep(0.05)
Path("out/squares").mkdir(parents=True)
Path("out/squares/all.txt").write_text(f"{found}\\n")
"""
IGNORED = "/out/squares\n/.cache/\n/made.log\n/logs/\n/wait\n__pycache__/\n"


def test_nothing_of_lifeboat_imports_the_study() -> None:
    for path in (PROJECT_ROOT / "src" / "lifeboat").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "backtracking"], path
        assert "backtracking" not in path.read_text(), path


def call(root: Path, *command: str, code: int | None = 0) -> str:
    """What a command prints, both streams together."""
    done = subprocess.run(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    assert code in (None, done.returncode), f"{command} exited {done.returncode}:\n{done.stdout}"
    return done.stdout


def lifeboat(root: Path, *words: str, code: int | None = 0) -> str:
    main = "from lifeboat.cli.app import main; main()"
    return call(root, sys.executable, "-c", main, *words, code=code)


def made(root: Path) -> list[str]:
    return (root / "made.log").read_text().split()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ten-line project in git and DVC, with a git remote and a DVC remote in folders."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT / "src"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    root = tmp_path / "project"
    root.mkdir()
    for name, text in (("dvc.yaml", DVC_YAML), ("squares.py", SCRIPT), (".gitignore", IGNORED)):
        (root / name).write_text(text)
    call(tmp_path, "git", "init", "-q", "--bare", "origin.git")
    call(root, "git", "init", "-q", "-b", "main")
    call(root, sys.executable, "-m", "dvc", "init", "-q")
    lifeboat(root, "remote", "set", str(tmp_path / "remote"))
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "A project")
    call(root, "git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    call(root, "git", "push", "-q", "origin", "main")
    call(tmp_path / "origin.git", "git", "symbolic-ref", "HEAD", "refs/heads/main")
    return root


@pytest.mark.slow
def test_work_that_was_cut_off_goes_on_elsewhere_from_what_was_saved(
    root: Path, tmp_path: Path
) -> None:
    (root / "wait").touch()
    with subprocess.Popen(
        [sys.executable, "-c", "from lifeboat.cli.app import main; main()", "reproduce"], cwd=root
    ) as running:
        while len(list(root.glob(".cache/store/out/squares/*.safetensors"))) < 2:
            time.sleep(0.05)
        (root / "notes.md").write_text("begun\n")
        said = lifeboat(root, "backup", "--stop", code=1)
        running.send_signal(signal.SIGTERM)
        running.wait()
    assert "Stopped where their work is saved: squares." in said
    assert "Stage `squares` has not finished: NOT SAVED but for its parts, 2 files" in said
    # The remotes are on this disk, and that is all that is wrong.
    wrong = [line for line in said.splitlines() if line.startswith("WRONG")]
    assert wrong
    assert all("ONLY ON THIS MACHINE" in line or "NOT ALL" in line for line in wrong), said

    call(tmp_path, "git", "clone", "-q", "origin.git", "elsewhere")
    there = tmp_path / "elsewhere"
    said = lifeboat(there, "restore")
    assert "2 files of unfinished squares came back" in said
    assert "Next: `lifeboat reproduce`" in said
    assert (there / "notes.md").read_text() == "begun\n"
    lifeboat(there, "reproduce")
    assert (there / "out" / "squares" / "all.txt").read_text() == "[1, 4, 9, 16]\n"
    assert (made(root), made(there)) == (["1", "2"], ["3", "4"])

    assert "MISSING" in lifeboat(there, "verify", code=1)
    lifeboat(there, "backup", "-m", "Squares", code=1)
    assert "All 2 objects that dvc.lock names are in" in lifeboat(there, "verify")
    there.joinpath("out").rename(tmp_path / "gone")
    assert "`lifeboat reproduce`" in lifeboat(there / ".dvc", "store", "prune")
    again = tmp_path / "again"
    call(tmp_path, "git", "clone", "-q", "origin.git", str(again))
    assert "No stage will run again" in lifeboat(again, "restore")
    assert (again / "out" / "squares" / "all.txt").is_file()


def test_doctor_asks_nothing_of_the_study_here(root: Path) -> None:
    said = lifeboat(root, "doctor", code=None)
    assert "The pipeline and DVC's configuration are there." in said
    for word in ("requirements", "params.yaml", "W&B", "Hugging", "make ", "backtracking "):
        assert word not in said, said
