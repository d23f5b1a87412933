import subprocess
from pathlib import Path

import pytest
from repositories import facts, git, remote_of
from servers import free_port

from lifeboat.deadlines import Deadline
from lifeboat.doctor import repository
from lifeboat.git import index
from lifeboat.items import Item


def look(root: Path) -> list[Item]:
    return repository.items(root, Deadline.after(30))


@pytest.fixture
def pushed(repository: Path) -> Path:
    remote_of(repository)
    return repository


def test_a_remote_that_answers_and_lies_on_this_disk_is_both(pushed: Path) -> None:
    found = look(pushed)
    assert "git commits as Test <test@localhost>" in facts(found, "ok")
    assert "git's remote `origin` answers" in facts(found, "ok")
    assert "is on THIS MACHINE" in facts(found, "warning")


def test_a_folder_without_git_is_wrong(tmp_path: Path) -> None:
    (item,) = look(tmp_path)
    assert item.verdict == "wrong"
    assert "is not a git repository" in item.fact


def test_no_remote_is_wrong(repository: Path) -> None:
    found = look(repository)
    assert "ONLY ON THIS MACHINE" in facts(found, "wrong")


def test_a_remote_that_is_gone_is_wrong(pushed: Path) -> None:
    git(pushed, "remote", "set-url", "origin", str(pushed.parent / "gone.git"))
    item = next(i for i in look(pushed) if "does not let us in" in i.fact)
    assert (item.verdict, "set-url" in item.cure) == ("wrong", True)


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("http://127.0.0.1:{port}/x.git", "Give git a token"),
        ("ssh://nobody@127.0.0.1:{port}/x.git", "the key must be loaded"),
    ],
)
def test_a_server_that_refuses_is_wrong_and_nobody_is_asked_for_a_password(
    url: str, cure: str, pushed: Path
) -> None:
    git(pushed, "remote", "set-url", "origin", url.format(port=free_port()))
    item = next(i for i in look(pushed) if "does not let us in" in i.fact)
    assert (item.verdict, cure in item.cure) == ("wrong", True)


def test_the_place_that_is_pushed_to_is_asked(pushed: Path) -> None:
    git(pushed, "remote", "set-url", "--push", "origin", str(pushed.parent / "gone.git"))
    assert "does not let us in" in facts(look(pushed), "wrong")


def test_a_missing_identity_is_a_warning(pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path.home() / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.delenv("EMAIL", raising=False)
    assert "no name and address" in facts(look(pushed), "warning")


def test_a_missing_pipeline_is_wrong_and_named(project: Path) -> None:
    assert repository.pipeline_item(project).verdict == "ok"
    (project / "dvc.yaml").unlink()
    item = repository.pipeline_item(project)
    assert item.verdict == "wrong"
    assert "dvc.yaml missing" in item.fact


def cloned(origin: Path, *settings: str) -> Path:
    options = [word for one in settings for word in ("-c", one)]
    git(origin.parent, "clone", "--quiet", *options, str(origin), "clone")
    return origin.parent / "clone"


@pytest.mark.kind(8)
@pytest.mark.parametrize(
    "settings",
    [
        ["core.autocrlf=true"],
        ["core.autocrlf=true", "core.safecrlf=false"],
        ["core.autocrlf=true", "core.eol=lf"],
    ],
    ids=" ".join,
)
def test_ends_of_lines_that_git_has_changed_are_named_with_their_cause(
    settings: list[str], pushed: Path
) -> None:
    git(pushed, "push", "--quiet", "origin", "HEAD")
    root = cloned(pushed.parent / "there.git", *settings)
    (item,) = repository.ending_items(root)
    assert item.verdict == "wrong" and "core.autocrlf" in item.cure and "code.py" in item.fact
    git(root, "config", "core.autocrlf", "false")
    git(root, "rm", "-rq", "--cached", ".")
    git(root, "reset", "-q", "--hard")
    assert repository.ending_items(root) == []


@pytest.mark.kind(8)
@pytest.mark.parametrize(
    ("attributes", "settings"),
    [("* -text", ["core.autocrlf=true"]), ("* text eol=crlf", []), ("* -text", ["core.eol=crlf"])],
    ids=str,
)
def test_what_a_project_says_of_its_ends_of_lines_is_no_fault(
    attributes: str, settings: list[str], pushed: Path
) -> None:
    (pushed / ".gitattributes").write_text(f"{attributes}\n")
    git(pushed, "add", "--all")
    git(pushed, "commit", "--quiet", "--message", "Ends")
    git(pushed, "push", "--quiet", "origin", "HEAD")
    assert repository.ending_items(cloned(pushed.parent / "there.git", *settings)) == []


@pytest.mark.kind(8)
@pytest.mark.parametrize("data", [b"", bytes(400), b"DIRC"], ids=["empty", "zeros", "cut"])
def test_an_index_that_git_cannot_read_is_wrong_and_its_cure_works(
    pushed: Path, data: bytes
) -> None:
    (pushed / ".git" / "index").write_bytes(data)
    (item,) = index.unreadable(pushed, "wrong")
    assert item in look(pushed)
    for command in item.cure.split("`")[1::2]:
        subprocess.run(command, shell=True, cwd=pushed, check=True)
    assert index.unreadable(pushed) == []
