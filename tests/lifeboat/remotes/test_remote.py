import subprocess
from pathlib import Path

import pytest
from repositories import facts

from lifeboat.git import commit
from lifeboat.remotes import remote
from lifeboat.stage.errors import UserError


def config(root: Path) -> str:
    return (root / ".dvc" / "config").read_text()


def test_a_new_default_is_written_and_the_old_remote_stays(project: Path) -> None:
    before = remote.default(project)
    assert before is not None
    remote.set_default(project, "s3://bucket/path", "http://localhost:9000")
    found, name = remote.remotes(project)
    assert before in found
    assert remote.Remote("s3", "s3://bucket/path", "http://localhost:9000") in found
    assert name == "s3"
    assert "access_key" not in config(project)
    # Back again: by its address, under its old name, without a second entry.
    remote.set_default(project, before.url)
    assert remote.remotes(project) == (found, "local")


def test_a_second_bucket_gets_a_name_of_its_own(project: Path) -> None:
    remote.set_default(project, "s3://one")
    remote.set_default(project, "s3://two")
    found, name = remote.remotes(project)
    assert {r.name: r.url for r in found}["s3"] == "s3://one"
    assert (name, {r.name: r.url for r in found}[name]) == ("s3-2", "s3://two")


@pytest.mark.parametrize(
    ("url", "endpoint", "expected"),
    [
        ("s3://key:" + "secret@bucket/path", "", "carries credentials"),
        ("s3://key@bucket/path", "", "carries credentials"),
        ("https://host/path?sig=abcdef", "", "carries credentials"),
        ("s3://bucket", "https://me:" + "pw@host", "carries credentials"),
        ("s3://bucket", "localhost:9000", "expects an http"),
        ("/mnt/data", "http://localhost:9000", "Expected an address"),
        ("somewhere/else", "", "Expected a URL or an absolute path"),
        ("", "", "Expected an address"),
    ],
)
def test_an_address_that_cannot_be_kept_is_refused(
    project: Path, url: str, endpoint: str, expected: str
) -> None:
    before = config(project)
    with pytest.raises(UserError, match=expected) as caught:
        remote.set_default(project, url, endpoint)
    assert config(project) == before
    assert "secret" not in str(caught.value).replace("SECRET", "")
    assert "pw" not in str(caught.value)


def test_a_folder_inside_the_project_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match="lies inside the project"):
        remote.set_default(project, str(project / "remote"))


def test_a_folder_beside_the_project_is_said_not_to_survive(project: Path) -> None:
    where = remote.default(project)
    assert where is not None
    assert remote.on_this_disk(where, project)
    item = remote.item(project)
    assert item.verdict == "warning"
    assert "DOES NOT SURVIVE THE MACHINE" in item.fact


def test_another_file_system_is_not_vouched_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device_of_remote = {True: 2, False: 1}
    monkeypatch.setattr(remote, "_device", lambda p: device_of_remote[p.name == "remote"])
    where = remote.default(project)
    assert where is not None
    assert not remote.on_this_disk(where, project)
    item = remote.item(project)
    assert item.verdict == "warning"
    assert "cannot be seen from here" in item.fact


def test_the_users_home_is_meant_by_a_tilde(project: Path) -> None:
    remote.set_default(project, "~/kept")
    where = remote.default(project)
    assert where is not None
    assert where.folder == Path.home() / "kept"
    assert str(Path.home()) not in config(project)


def test_a_project_without_a_remote_is_told_so(project: Path) -> None:
    subprocess.run(
        ["git", "checkout", "--quiet", "HEAD~1", "--", ".dvc/config"], cwd=project, check=True
    )
    item = remote.item(project)
    assert item.verdict == "warning"
    assert "no default remote" in item.fact


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/there.git", "/there.git"),
        ("file:///there.git", "/there.git"),
        ("../there.git", "/here/project/../there.git"),
        ("there.git", "/here/project/there.git"),
        ("https://host/x.git", None),
        ("ssh://git@host/x.git", None),
        ("git@host:x.git", None),
        ("host:/x.git", None),
    ],
)
def test_what_an_address_of_git_means(url: str, expected: str | None) -> None:
    folder = remote.git_folder(url, Path("/here/project"))
    assert folder == (None if expected is None else Path(expected))


@pytest.mark.parametrize(
    "url", ["s3://bucket/caf\u00e9", "s3://b\u00fccket/x", "gs://bucket/\u65e5"]
)
def test_an_address_that_dvc_cannot_send_to_is_refused_in_a_sentence(
    url: str, project: Path
) -> None:
    with pytest.raises(UserError, match="other letters"):
        remote.set_default(project, url)


ADDRESS = "['remote \"mine\"']\n    url = {}\n[core]\n    remote = mine\n"
FOUND = {
    "in .dvc/config": ({"repo": "s3://a/b"}, ""),
    "relative to it": ({"repo": "../../there"}, ""),
    "keys beside it": ({"repo": "s3://a/b", "local": "s3://a/b\n    access_key_id = k"}, ""),
    "of this clone": ({"local": "s3://a/b"}, ".dvc/config names none"),
    "of this user": ({"global": "s3://a/b"}, ".dvc/config names none"),
    "another one here": ({"repo": "s3://a/b", "local": "/mnt/b"}, ".dvc/config names another one"),
    "another service here": (
        {"repo": "s3://a/b", "local": "s3://a/b\n    endpointurl = http://h:9000"},
        ".dvc/config names another one",
    ),
}
"""Addresses by the level of DVC's settings in which they stand, and what is said of them."""


@pytest.mark.kind(1)
@pytest.mark.parametrize("member", FOUND)
def test_a_remote_that_a_clone_does_not_find_is_no_place_where_data_is_saved(
    project: Path, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    files = remote.configuration(project).files
    (project / ".dvc" / "config").write_text("")
    urls, said = FOUND[member]
    for level, url in urls.items():
        Path(files[level]).parent.mkdir(parents=True, exist_ok=True)
        Path(files[level]).write_text(ADDRESS.format(url))
    where = remote.default(project)
    assert where is not None
    found = facts(remote.survival(project, where), "wrong")
    assert said in found
    assert bool(said) == bool(found)
    remote.set_default(project, "s3://a/b") if said.endswith("none") else None
    if said.endswith("none"):
        assert facts(remote.survival(project, where), "wrong") == ""


HERE = ["git://127.0.0.1:9419/a.git", "ssh://git@localhost/a.git", "git@127.0.0.1:a.git"]


@pytest.mark.kind(1)
@pytest.mark.parametrize("url", [*HERE, "http://[::1]:3000/a.git", "localhost:a.git"])
def test_a_server_on_this_machine_may_go_with_it(project: Path, url: str) -> None:
    found = commit.landed(project, url, "main", "1234567", "1234567")
    assert "A SERVER ON THIS MACHINE" in found.fact
    assert found.verdict == "warning"
