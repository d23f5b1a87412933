import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repositories import git

from backtracking import PROJECT_ROOT
from lifeboat import processes
from lifeboat.git import wip
from lifeboat.items import Item, proven
from lifeboat.remotes.bucket import open_bucket
from lifeboat.restoring import restore
from lifeboat.running import stage_seconds
from lifeboat.saving import partial
from lifeboat.saving.partial import Index, Part
from lifeboat.stage.errors import UserError


@pytest.fixture
def origin(project: Path, tmp_path: Path) -> Path:
    """A bare remote of `project`; the DVC remote has all that is in the project's cache."""
    bare = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", bare], check=True)
    git(project, "remote", "add", "origin", str(bare))
    git(project, "push", "--quiet", "-u", "origin", "main")
    shutil.copytree(project / ".dvc" / "cache", tmp_path / "remote")
    return bare


def leave(project: Path) -> None:
    """The machine goes: unfinished work is on the wip branch, and its folder is no more."""
    saved = wip.save(project, aside=True)
    git(project, "push", "--quiet", "origin", f"{saved.commit}:refs/heads/{saved.branch}")
    shutil.rmtree(project)


def clone(origin: Path) -> Path:
    root = origin.parent / "clone"
    subprocess.run(["git", "clone", "--quiet", origin, root], check=True)
    return root


def facts(items: list[Item]) -> str:
    return "\n".join(item.fact for item in items)


def test_a_fresh_clone_has_all_that_was_saved_and_says_what_will_run(
    project: Path, origin: Path
) -> None:
    lock = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text(lock[: lock.index("  sum:")])
    git(project, "commit", "-qam", "The last stage is to run again")
    git(project, "push", "--quiet", "origin", "main")
    (project / "notes.md").write_text("unfinished\n")
    stamp = project / "runs" / "20260101_000000"
    stamp.mkdir(parents=True)
    stage_seconds.write(stamp / "stage_seconds.json", {"sum": 42.0}, stage_seconds.study(project))
    part = Part("results/sum/k.safetensors", 1, "2d711642b726b04401627ca9fbac32f5" * 2, "sum")
    leave(project)
    root = clone(origin)
    partial.write_index(open_bucket(root), Index("one", "0", "main", (part,)))
    items = restore.restore(root)
    said = facts(items)
    assert "2 files are as the newest unfinished work has them: wip/main" in said
    assert "1 of 1 finished outs are whole in DVC's cache; 3 objects" in said
    assert "results/sum/k.safetensors of unfinished sum did not come back" in said
    assert "1 stage will run: sum (about 42 s); about 42 s in all." in said
    assert items[-1].fact == "Next: `lifeboat reproduce`, which is `dvc --wait-for-lock repro`."
    assert (root / "data" / "raw" / "numbers" / "two").read_text() == "2\n"
    ran = processes.dvc(root, "repro")
    assert "Running stage 'sum'" in ran.stdout
    assert "Running stage 'numbers'" not in ran.stdout
    assert json.loads(processes.dvc(root, "status", "--json").stdout) == {}


def test_the_verb_restores_and_keeps_off_changes_of_the_user(project: Path, origin: Path) -> None:
    (project / "params.yaml").write_text("seed: 2\n")
    leave(project)
    root = clone(origin)
    code = "from backtracking.cli import main; main()"
    command = [sys.executable, "-c", code, "--root", str(root), "restore", "--no-wip", "--json"]
    done = processes.run(command, PROJECT_ROOT)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == (0, True), done.stderr
    assert "No stage will run again" in done.stdout
    assert (root / "results" / "sum" / "sum.txt").read_text() == "1\n2\n"
    assert git(root, "status", "--porcelain") == ""
    (root / "params.yaml").write_text("seed: 3\n")
    items = restore.restore(root)
    assert proven(items)
    assert "was not taken: there are changes here (params.yaml)" in facts(items)
    assert (root / "params.yaml").read_text() == "seed: 3\n"


def test_a_remote_that_cannot_be_opened_is_said_with_all_that_will_run(
    project: Path, origin: Path
) -> None:
    leave(project)
    root = clone(origin)
    items = restore.restore(root, remote="none")
    assert not proven(items)
    assert "There is no DVC remote 'none'" in facts(items)
    assert "2 stages will run: numbers (time unknown), sum (time unknown)" in facts(items)


def test_a_clone_without_files_is_told_how_to_get_them(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    processes.git(tmp_path, "init", "--quiet", "--bare", "-b", "main", str(bare))
    processes.git(
        project, "push", "--quiet", str(bare), "HEAD:refs/heads/main", "HEAD:refs/heads/x"
    )
    for options, words in (
        (["--no-checkout"], "Run `git checkout main .`"),
        ([], "Run `git switch BRANCH`; there are main, x"),
    ):
        clone = tmp_path / f"clone-{len(options)}"
        processes.git(tmp_path, "clone", "--quiet", *options, str(bare), str(clone))
        if not options:
            processes.git(clone, "checkout", "--quiet", "--orphan", "gone")
            processes.git(clone, "rm", "-rfq", ".")
        with pytest.raises(UserError) as caught:
            restore.restore(clone)
        assert words in str(caught.value)


@pytest.mark.kind(8)
def test_a_clone_whose_ends_of_lines_git_changed_is_told_so(project: Path, origin: Path) -> None:
    subprocess.run(
        ["git", "clone", "--quiet", "-c", "core.autocrlf=true", origin, origin.parent / "clone"],
        check=True,
    )
    said = next(item for item in restore.restore(origin.parent / "clone") if "CRLF" in item.fact)
    assert said.verdict == "wrong" and "core.autocrlf false" in said.cure
