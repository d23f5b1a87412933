import json
from collections.abc import Callable
from pathlib import Path

import pytest
from repositories import git

from lifeboat.deadlines import Deadline, within
from lifeboat.proof import expected
from lifeboat.remotes.bucket import open_bucket


def test_outs_of_head_and_of_the_workspace_are_each_expected_once(project: Path) -> None:
    found = expected.read(project)
    assert [(o.stage, o.path, o.places) for o in found.outs] == [
        ("numbers", "data/raw/numbers", ("HEAD", "workspace")),
        ("sum", "results/sum", ("HEAD", "workspace")),
    ]
    assert (found.outs[0].n_files, found.outs[0].bytes) == (2, 4)
    assert (found.unfinished, found.kept_back, found.problems) == ((), (), ())
    listed = list(expected.objects(found.outs, found, open_bucket(project)))
    assert [o.path for o in listed] == [
        "data/raw/numbers",
        "data/raw/numbers/one",
        "data/raw/numbers/two",
        "results/sum",
        "results/sum/sum.txt",
    ]
    assert all(found.cached(o.oid).is_file() for o in listed)


def test_what_git_keeps_and_what_is_never_pushed_are_left_out(project: Path) -> None:
    text = (project / "dvc.yaml").read_text()
    text = text.replace("      - results/sum\n", "      - results/sum:\n          cache: false\n")
    text = text.replace(
        "- data/raw/numbers\n  sum", "- data/raw/numbers:\n          push: false\n  sum"
    )
    (project / "dvc.yaml").write_text(text)
    git(project, "commit", "-qam", "Other outs")
    found = expected.read(project)
    assert found.outs == ()
    assert found.kept_back == ("data/raw/numbers",)


def test_a_stage_that_never_ran_is_unfinished_though_head_has_another(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text(lock[: lock.index("  sum:")])
    found = expected.read(project)
    assert found.unfinished == ("sum",)
    assert [(o.path, o.places) for o in found.outs if o.stage == "sum"] == [
        ("results/sum", ("HEAD",))
    ]


def test_a_half_edited_pipeline_is_a_problem_and_head_still_counts(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages:\n  numbers: [\n")
    found = expected.read(project)
    assert len(found.problems) == 1
    assert found.problems[0].startswith("The pipeline of workspace cannot be read: ")
    assert [out.places for out in found.outs] == [("HEAD",), ("HEAD",)]


def test_before_the_first_commit_the_workspace_counts(project: Path) -> None:
    git(project, "checkout", "-q", "--orphan", "fresh")
    assert [out.places for out in expected.read(project).outs] == [("workspace",)] * 2


def test_a_key_that_is_no_md5_and_one_of_dvc_2_are_problems(project: Path) -> None:
    lock = project / "dvc.lock"
    oid = lock.read_text().split("path: results/sum\n")[1].split("md5: ")[1].split()[0]
    lock.write_text(lock.read_text().replace(oid, "../../etc/passwd"))
    (problem,) = expected.read(project).problems
    assert "is recorded with '../../etc/passwd', which is no MD5" in problem
    git(project, "checkout", "dvc.lock")
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join(line for line in lines if line.strip() != "hash: md5") + "\n")
    assert all("of DVC 2" in problem for problem in expected.read(project).problems)


def test_a_list_comes_from_the_remote_where_the_cache_has_none_or_a_wrong_one(
    project: Path,
) -> None:
    found = expected.read(project)
    bucket = open_bucket(project)
    out = found.outs[0]
    cached = found.cached(out.oid)
    data = cached.read_bytes()
    cached.unlink()
    assert [o.is_known for o in expected.objects([out], found, bucket)] == [False]
    bucket.write(f"files/md5/{out.oid[:2]}/{out.oid[2:]}", data)
    assert len(list(expected.objects([out], found, bucket))) == 3
    cached.write_bytes(json.dumps([]).encode())
    assert len(list(expected.objects([out], found, bucket))) == 3


def split(root: Path) -> None:
    git(root, "update-index", "--split-index")
    git(root, "config", "core.splitIndex", "true")


def sparse(root: Path) -> None:
    (root / "src").mkdir()
    (root / "src" / "code.py").write_text("x = 1\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "Code")
    git(root, "sparse-checkout", "set", "--cone", "--sparse-index", ".dvc")


INDEXES: dict[str, Callable[[Path], object]] = {
    "split": split,
    "sparse": sparse,
    "empty": lambda root: (root / ".git" / "index").write_bytes(b""),
    "zeros": lambda root: (root / ".git" / "index").write_bytes(bytes(400)),
    "gone": lambda root: (root / ".git" / "index").unlink(),
}
"""Indexes of git that libgit2 cannot read, or that nobody can."""


@pytest.mark.kind(3)
@pytest.mark.parametrize("member", INDEXES)
def test_head_is_read_whatever_the_index_is(project: Path, member: str) -> None:
    INDEXES[member](project)
    found = within(Deadline.after(30), "Reading", lambda: expected.read(project))
    assert [out.places for out in found.outs] == [("HEAD", "workspace")] * 2
    assert found.problems == ()


@pytest.mark.kind(3)
def test_what_of_head_cannot_be_read_is_a_problem(project: Path) -> None:
    """As in a clone that has not fetched everything, or on a disk that has lost something."""
    oid = git(project, "rev-parse", "HEAD:dvc.lock")
    (project / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    found = within(Deadline.after(30), "Reading", lambda: expected.read(project))
    assert found.problems[0].startswith("The pipeline of HEAD cannot be read: ")
    assert [out.places for out in found.outs] == [("workspace",)] * 2
