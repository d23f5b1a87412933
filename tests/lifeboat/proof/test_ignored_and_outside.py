"""What neither git nor DVC holds: what is ignored, and what lies behind links."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from repositories import facts, git, remote_of, submodule

from lifeboat import items, processes
from lifeboat.git import wip
from lifeboat.items import Item
from lifeboat.proof import held, verify
from lifeboat.remotes import remote
from lifeboat.saving import backup, push, snapshot
from lifeboat.stage.errors import UserError

pytestmark = pytest.mark.kind(1)


def told(root: Path) -> list[Item]:
    """What is told of a project whose HEAD is all that git would hold."""
    made = wip.save(root, aside=True)
    return [*made.items, *held.items(root, made)]


def write(*names: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("x\n")

    return make


def by_the_user_s_rule(root: Path) -> None:
    (root / ".git" / "info" / "exclude").write_text("*.private\n")
    write("notes.private")(root)


def by_everybody_s_rule(root: Path) -> None:
    (Path.home() / "ignored").write_text("drafts/\n")
    git(root, "config", "core.excludesFile", str(Path.home() / "ignored"))
    write("drafts/a.md")(root)


def left_out(rule: str, *names: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        (root / ".dvcignore").write_text(f"{rule}\n")
        write(*names)(root)

    return make


def linked_in_an_out(root: Path) -> None:
    write("notes/a.md")(root)
    (root / "data" / "raw" / "numbers" / "notes").symlink_to("../../../notes")


def forgotten(*paths: str, rule: str) -> Callable[[Path], None]:
    """Files that git does not have, by a rule of the user for something else."""

    def make(root: Path) -> None:
        git(root, "rm", "-r", "--quiet", "--cached", *paths)
        git(root, "commit", "--quiet", "--message", "Without")
        (root / ".git" / "info" / "exclude").write_text(f"{rule}\n!.gitignore\n")

    return make


IGNORED: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "beside an out": (write("data/raw/labels.csv"), "data/raw/labels.csv: git ignores", "wrong"),
    "a folder beside": (write("data/raw/more/a/b"), "data/raw/more: git ignores", "wrong"),
    "in the place of results": (write("results/by_hand/a.csv"), "results/by_hand: git", "wrong"),
    "by a rule of the clone": (by_the_user_s_rule, "ignores it: notes.private", "warning"),
    "by a rule of the user": (by_everybody_s_rule, "ignores it: drafts", "warning"),
    "by a rule of the project": (write("logs/a.log", ".env"), "it: .env, logs", "warning"),
    "by .dvcignore": (
        left_out("*.md", "data/raw/numbers/a.md"),
        "numbers/a.md: it lies in",
        "wrong",
    ),
    "a folder by .dvcignore": (
        left_out("drafts/", "results/sum/drafts/deep/a", "results/sum/drafts/b"),
        "NOT SAVED: results/sum/drafts: it lies in what DVC holds",
        "wrong",
    ),
    "a project in an out": (
        write("data/raw/numbers/more/.dvc/config", "data/raw/numbers/more/a.csv"),
        "NOT SAVED: data/raw/numbers/more: it lies in",
        "wrong",
    ),
    "a link in an out": (linked_in_an_out, "data/raw/numbers/notes: it lies in", "wrong"),
    "DVC's settings": (
        forgotten(".dvc", rule=".*"),
        "NOT SAVED: .dvc: git ignores it, and",
        "wrong",
    ),
    "one of DVC's settings": (
        forgotten(".dvc/config", rule="config"),
        "NOT SAVED: .dvc/config: git ignores it, and a clone",
        "wrong",
    ),
    "DVC's keys": (write(".dvc/config.local"), "ignores it: .dvc/config.local", "warning"),
    "made again": (write(".cache/x", "data/raw/.numbers.12/one", "logs/CACHEDIR.TAG"), "", ""),
    "made again in an out": (
        left_out("__pycache__", "data/raw/numbers/__pycache__/a.pyc", ".dvc/tmp/a", ".dvc/cache/b"),
        "",
        "",
    ),
}
"""What git ignores: how it is made, what is said, and how."""


@pytest.mark.parametrize("member", IGNORED)
def test_what_git_ignores_and_dvc_does_not_know_is_named(project: Path, member: str) -> None:
    make, said, verdict = IGNORED[member]
    assert [item.verdict for item in told(project)] == ["ok", "ok"]
    make(project)
    found = told(project)
    odd = [item for item in found if item.verdict != "ok"]
    assert [item.verdict for item in odd] == ([verdict] if verdict else [])
    assert said in facts(found, verdict)


UNCACHED: dict[str, tuple[str, str, str, str]] = {
    "a file": ("results/smoke/m.json", "", "NOT SAVED: results/smoke/m.json: git ignores", "wrong"),
    "a folder": ("results/tables", "", "NOT SAVED: results/tables: git ignores", "wrong"),
    "beside a cached one": ("results/two/m.json", "", "results/two/m.json: git", "wrong"),
    "excepted": ("results/smoke/m.json", "!/results/smoke/", "", ""),
    "by a rule of its own": (
        "results/smoke/m.json",
        "/results/smoke/",
        "it: results/sm",
        "warning",
    ),
}
"""Outs that DVC is told not to keep, a rule of git for them, what is said, and how."""


def make_uncached(root: Path, path: str, rule: str) -> None:
    """A stage more that has run, with an out that DVC keeps beside, and its remotes."""
    made = path if "." in Path(path).name else f"{path}/m.json"
    folder = Path(made).parent
    text = (root / "dvc.yaml").read_text()
    cmd = f"mkdir -p {folder} results/two && echo 1 > {made} && echo 2 > results/two/kept"
    outs = f"      - results/two/kept\n      - {path}: {{cache: false}}\n"
    (root / "dvc.yaml").write_text(f"{text}  more:\n    cmd: {cmd}\n    outs:\n{outs}")
    with (root / ".gitignore").open("a") as file:
        file.write(f"{rule}\n")
    assert processes.dvc(root, "repro", "--quiet").returncode == 0
    remote_of(root)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("member", UNCACHED)
def test_an_out_that_dvc_is_told_not_to_keep_is_saved_by_git_or_named_with_a_cure_that_works(
    project: Path, member: str
) -> None:
    path, rule, said, verdict = UNCACHED[member]
    make_uncached(project, path, rule)
    found = backup.backup(project, "A run")
    assert items.proven(found) == (verdict != "wrong"), facts(found, "wrong")
    assert said in facts(found, verdict)
    if verdict == "wrong":
        assert "`git add --force` it" in next(i.cure for i in found if said in i.fact)
        git(project, "add", "--force", path)
        found = backup.backup(project, "With it")
        assert items.proven(found), facts(found, "wrong")
    tracked = git(project, "ls-tree", "-r", "--name-only", "origin/main", path)
    assert bool(tracked) == (verdict != "warning")


def test_a_record_of_dvc_that_git_ignores_is_named_with_the_data_that_nobody_finds(
    project: Path,
) -> None:
    forgotten("dvc.lock", rule="*.lock")(project)
    found = told(project)
    assert "NOT SAVED: dvc.lock: git ignores it, and a clone" in facts(found, "wrong")
    assert "ignores it: data/raw/numbers, results/sum" in facts(found, "warning")


def test_what_dvc_was_told_to_keep_is_its_own(project: Path) -> None:
    write("labels.csv")(project)
    with (project / ".gitignore").open("a") as file:
        file.write("/labels.csv\n")
    assert "ignores it: labels.csv" in facts(told(project), "warning")
    (project / "labels.csv.dvc").write_text(
        "outs:\n- md5: 401b30e3b8b5d629635a5c613cdb7919\n  hash: md5\n  path: labels.csv\n"
    )
    assert facts(told(project), "warning") == ""


@pytest.fixture
def scratch(project: Path) -> Path:
    scratch = project.parent / "scratch"
    (scratch / "deep").mkdir(parents=True)
    (scratch / "deep" / "probe.npz").write_text("1\n")
    return scratch


@pytest.mark.parametrize(("is_here", "verdict"), [(True, "wrong"), (False, "warning")])
@pytest.mark.parametrize("target", ["", "deep/probe.npz"])
def test_a_link_to_elsewhere_is_named_with_what_is_behind_it(
    project: Path,
    scratch: Path,
    target: str,
    is_here: bool,
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: is_here)
    (project / "link").symlink_to(scratch / target)
    (project / "nowhere").symlink_to("/nowhere/at/all")
    (project / "inside").symlink_to("params.yaml")
    found = told(project)
    assert f"link is a link to {scratch / target}".rstrip("/") in facts(found, verdict)
    assert [item.verdict for item in found if "is a link" in item.fact] == [verdict]


LINKS = {
    "of git-annex": (".git/annex/objects/ab/SHA256-s14", "", "(.git/annex/objects/ab/SHA256-s14)"),
    "into a cache": (".cache/probes/best.npz", "", "(.cache/probes/best.npz)"),
    "to a folder of a cache": (".cache/probes/best.npz", ".cache/probes", "(.cache/probes)"),
    "to what a rule ignores": ("logs/run/best.npz", "logs/run", "(logs/run)"),
    "into DVC's own cache": (".dvc/cache/by_hand.npz", "", "(.dvc/cache/by_hand.npz)"),
    "to a file of git": ("probes/best.npz", "", ""),
    "to a folder of git": ("probes/best.npz", "probes", ""),
    "to an out": ("logs/a", "data/raw/numbers", ""),
    "to a file of an out": ("logs/a", "data/raw/numbers/one", ""),
    "to a folder of outs": ("logs/a", "data", ""),
    "to nothing": ("logs/a", "nowhere", ""),
    "to a folder without files": ("logs/a", ".git/refs/tags", ""),
}
"""Links in the repository: a file that is made, what is linked to, and what is called lost."""


@pytest.mark.parametrize("member", LINKS)
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_link_is_held_only_with_what_is_behind_it(
    project: Path, member: str, is_absolute: bool
) -> None:
    made, target, lost = LINKS[member]
    write(made)(project)
    (project / "links").mkdir()
    start = project if is_absolute else Path("..")
    (project / "links" / "best").symlink_to(start / (target or made))
    (project / "again").symlink_to("links/best")
    said = facts(told(project), "wrong")
    assert ("NOT SAVED: links/best: the commit holds the link alone" in said) == bool(lost), said
    assert lost in said


def depends(*paths: str, section: str = "deps") -> Callable[[Path], None]:
    def make(root: Path) -> None:
        named = "".join(f"      - {path}\n" for path in paths)
        text = (root / "dvc.yaml").read_text()
        (root / "dvc.yaml").write_text(f"{text}  more:\n    cmd: 'true'\n    {section}:\n{named}")

    return make


def imported(root: Path) -> None:
    (root / "copy.dvc").write_text(
        "deps:\n- path: ../scratch/deep\nouts:\n- md5: 401b30e3b8b5d629635a5c613cdb7919\n"
        "  path: copy\n"
    )


def through_another_name(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    depends(str(root.parent / "alias" / "params.yaml"))(root)


OUTSIDE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file": (depends("../scratch/deep/probe.npz"), "scratch/deep/probe.npz, of `more`, is not"),
    "a folder": (depends("../scratch"), "../scratch/deep/probe.npz), and IS ONLY"),
    "twice": (depends("../scratch/deep", "../scratch"), "scratch/deep, of `more`, is not in the"),
    "an out that DVC does not keep": (
        depends("../scratch/deep: {cache: false}", section="outs"),
        "scratch/deep, of `more`, is not in the repository",
    ),
    "parameters": (
        depends("../scratch/p.yaml: [a]", section="params"),
        "scratch/p.yaml, of `more`",
    ),
    "nothing there": (depends("../nothing/at/all"), ""),
    "an empty folder": (depends("../scratch/empty"), ""),
    "another name of this project": (through_another_name, ""),
    "what was imported": (imported, ""),
    "elsewhere": (depends("https://localhost/x.csv"), ""),
}
"""What stages name out of the repository: how, and what is called lost."""


@pytest.mark.parametrize("member", OUTSIDE)
def test_what_a_stage_needs_or_makes_out_of_the_repository_is_named(
    project: Path, scratch: Path, member: str
) -> None:
    make, said = OUTSIDE[member]
    (scratch / "empty").mkdir()
    (scratch / "p.yaml").write_text("a: 1\n")
    make(project)
    found = facts(told(project), "wrong")
    assert said in found if said else not found, found


def link_in_submodule(sub: Path) -> None:
    (sub.parents[2] / "elsewhere.npz").write_text("x\n")
    (sub / "probe.npz").symlink_to(sub.parents[2] / "elsewhere.npz")


def ignored_in_submodule(sub: Path) -> None:
    (sub.parents[1] / ".git/modules/third_party/p/info/exclude").write_text("*.ckpt\n")
    write("model.ckpt")(sub)


def stash_in_submodule(sub: Path) -> None:
    (sub / "a.py").write_text("changed\n")
    git(sub, "stash", "--quiet")


def branch_in_submodule(sub: Path) -> None:
    git(sub, "switch", "--quiet", "--create", "side")
    git(sub, "commit", "--quiet", "--allow-empty", "--message", "Side")
    git(sub, "switch", "--quiet", "-")


def note_in_submodule(sub: Path) -> None:
    git(sub, "notes", "add", "--message", "A note")


IN_SUBMODULES = {
    "a link": (link_in_submodule, "third_party/p/probe.npz is a link to", "wrong"),
    "what git ignores": (ignored_in_submodule, "it: third_party/p/model.ckpt", "warning"),
    "a stash": (stash_in_submodule, "In the submodule third_party/p/: Only here", "warning"),
    "a note": (note_in_submodule, "third_party/p/: NOT SAVED: refs/notes/commits", "wrong"),
    "a branch": (branch_in_submodule, "clone knows: 1 other branch", "warning"),
}
"""What a submodule has here alone: how it is made, what is said, and how."""


@pytest.mark.parametrize("member", IN_SUBMODULES)
def test_a_submodule_is_looked_through_as_the_repository_is(
    project: Path, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sub = submodule(project)
    before = told(project)
    make, said, verdict = IN_SUBMODULES[member]
    make(sub)
    assert said not in facts(before, verdict)
    assert said in facts(told(project), verdict)


@pytest.mark.parametrize("folder", ["data", "results", "models", ".dvc/cache", ".cache/store"])
def test_a_folder_of_dvc_that_is_a_link_is_saved_as_git_does_it(
    project: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: True)
    (project / folder).mkdir(parents=True, exist_ok=True)
    (project / folder / "kept.txt").write_text("x\n")
    git(project, "add", "--force", f"{folder}/kept.txt")
    git(project, "commit", "--quiet", "--message", "A file in it")
    (project / folder / "kept.txt").unlink()
    shutil.move(project / folder, project.parent / "disk")
    (project / folder).symlink_to(project.parent / "disk")
    (project / "params.yaml").write_text("seed: 2\n")
    found = told(project)
    assert items.proven(found), facts(found, "wrong")
    assert git(project, "show", "wip/main:params.yaml") == "seed: 2"
    write(f"{folder}/by_hand.csv")(project)
    said = facts(told(project), "wrong")
    assert (f"({folder}/by_hand.csv), and IS ONLY ON THIS MACHINE" in said) == ("." not in folder)


@pytest.mark.parametrize("verb", ["backup", "verify", "push", "snapshot"])
def test_a_checkout_of_another_user_is_told_with_the_cure(
    project: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setattr("lifeboat.processes._GIT_MAY_SAY", ("GIT_",))
    if verb == "verify":
        found = verify.verify(project)
        assert "The pipeline of HEAD" not in facts(found, "ok")
        assert "safe.directory" in facts(found, "wrong")
        return
    if verb == "backup":
        found = backup.backup(project)
        assert "safe.directory" in facts(found, "wrong")
        assert "All 5 objects" in facts(found, "ok")  # data is saved all the same
        return
    act = {"push": push.push, "snapshot": snapshot.take}[verb]
    with pytest.raises(UserError, match="belongs to another user.*safe.directory"):
        act(project)
