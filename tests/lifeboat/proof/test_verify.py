import dataclasses
import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import call
from repositories import facts
from servers import Place

from backtracking import cli
from lifeboat.items import proven
from lifeboat.proof import manifests, verify
from lifeboat.proof.inspection import Verified
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import Folder, Stored, open_bucket
from lifeboat.stage.errors import UserError


def cache(root: Path) -> Path:
    return root / ".dvc" / "cache"


def oid_of(root: Path, path: str) -> str:
    """The key of an out, from dvc.lock."""
    return (root / "dvc.lock").read_text().split(f"path: {path}\n")[1].split("md5: ")[1].split()[0]


def look(root: Path, *targets: str, deep: bool = False) -> Verified:
    return verify.check(root, list(targets), open_bucket(root), deep=deep)


@pytest.fixture(scope="session")
def finished_many(finished_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished project with a folder of 40 files by `dvc add`; copy it, don't change it."""
    root = tmp_path_factory.mktemp("many") / "project"
    shutil.copytree(finished_project, root, symlinks=True)
    folder = root / "data" / "raw" / "many"
    folder.mkdir()
    for number in range(37):
        (folder / f"{number:02}").write_text(f"content of file {number}\n" * (number + 1))
    for name in ("a", "b", "c"):
        (folder / name).write_text("the same\n")
    call(root, "dvc", "add", "--quiet", str(folder))
    call(root, "git", "add", "--all")
    call(root, "git", "commit", "--quiet", "-m", "Many")
    return root


@pytest.fixture
def here(finished_many: Path, tmp_path: Path) -> tuple[Path, Place]:
    """A project and its remote, a folder that holds all of it."""
    root, place = tmp_path / "project", Place("folder", str(tmp_path / "place"))
    shutil.copytree(finished_many, root, symlinks=True)
    remote.set_default(root, place.url)
    place.fill(cache(root))
    return root, place


@pytest.fixture
def many(finished_many: Path, tmp_path: Path, place: Place) -> Path:
    """A project and its remote of each kind, which holds all of it."""
    root = tmp_path / "project"
    shutil.copytree(finished_many, root, symlinks=True)
    remote.set_default(root, place.url, place.endpoint)
    place.fill(cache(root))
    return root


def test_it_names_exactly_what_is_missing_or_wrong_in_every_kind_of_remote(
    many: Path, place: Place
) -> None:
    assert proven(verify.verify(many))
    whole = look(many)
    assert whole.is_whole
    assert whole.n_present == whole.n_expected == 44
    files = {key for key in sorted(place.sizes()) if not key.endswith(".dir")}
    chosen = random.Random(5).sample(sorted(files), 12)
    gone, cut, altered = chosen[:4], chosen[4:8], chosen[8:]
    for key in gone:
        place.remove(key)
    for key in cut:
        place.put(key, place.get(key)[:-1])
    for key in altered:
        place.put(key, place.get(key)[:-1] + b"?")
    found = look(many, deep=True)
    assert {manifests.key(finding.oid) for finding in found.missing} == set(gone)
    assert {manifests.key(finding.oid) for finding in found.wrong} == {*cut, *altered}
    assert found.n_present == 44 - 12
    assert {finding.path for finding in found.missing} <= set(paths(many))
    assert not proven(verify.told(found))
    shallow = look(many)
    expected = set(cut) if place.kind == "folder" else {*cut, *altered}
    assert {manifests.key(finding.oid) for finding in shallow.wrong} == expected


def paths(root: Path) -> list[str]:
    return [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]


def test_without_a_local_cache_sizes_are_compared_altogether_and_then_read(
    many: Path, place: Place
) -> None:
    shutil.rmtree(cache(many) / "files")
    assert look(many).is_whole
    evidence = look(many).by_evidence
    assert "presence" not in evidence
    key = next(key for key in sorted(place.sizes()) if not key.endswith(".dir"))
    place.put(key, place.get(key) + b"more")
    found = look(many)
    assert [manifests.key(finding.oid) for finding in found.wrong] == [key]
    assert "bytes hash to" in found.wrong[0].reason
    assert found.wrong[0].bytes is None
    assert found.n_present == 43


@pytest.mark.parametrize("place", ["folder", "rclone"], indirect=True)
def test_a_list_of_files_that_is_missing_or_wrong_is_named_itself(
    placed: Path, place: Place
) -> None:
    place.fill(cache(placed))
    oid = oid_of(placed, "data/raw/numbers")
    place.remove(manifests.key(oid))
    (finding,) = look(placed).missing
    assert (finding.oid, finding.path, finding.stage) == (oid, "data/raw/numbers", "numbers")
    assert finding.reason == ""
    (cache(placed) / manifests.key(oid)).unlink()
    (finding,) = look(placed).missing
    assert finding.reason == "it is not here either, so its 2 files are unknown"
    place.put(manifests.key(oid), b'[{"md5": "00", "relpath": "../../x"}]')
    found = look(placed)
    assert found.missing == ()
    assert [finding.oid for finding in found.wrong] == [oid]
    assert "hash to" in found.wrong[0].reason


def test_a_target_is_a_stage_an_out_or_a_path_in_one(here: tuple[Path, Place]) -> None:
    many, place = here
    assert look(many, "numbers").n_expected == 3
    assert look(many, "results/sum").n_expected == 2
    assert look(many, "results/sum/", "numbers").n_expected == 5
    assert look(many, "data/raw/many/07").n_expected == 1
    assert look(many, "data/raw/many.dvc").n_expected == 39
    assert look(many, str(many / "data/raw")).n_expected == 42
    with pytest.raises(UserError, match=r"'numers' is no stage .* did you mean 'numbers'"):
        look(many, "numers")
    with pytest.raises(UserError, match="known are .*data/raw/many"):
        look(many, "/elsewhere")
    place.remove(manifests.key(oid_of(many, "results/sum")))
    assert look(many, "numbers").is_whole
    assert [finding.path for finding in look(many, "sum").missing] == ["results/sum"]


def test_a_path_that_no_file_of_an_out_has_proves_nothing(here: tuple[Path, Place]) -> None:
    many, _ = here
    found = verify.verify(many, ["data/raw/many/nope"])
    assert not proven(found)
    assert "nothing to prove" in facts(found, "wrong")


def test_what_head_alone_expects_and_what_the_workspace_alone_does_are_told_apart(
    project: Path,
) -> None:
    place = Place("folder", str(project.parent / "remote"))
    place.fill(cache(project))
    lock = (project / "dvc.lock").read_text()
    before, fresh = oid_of(project, "results/sum"), "0" * 32 + ".dir"
    (project / "dvc.lock").write_text(lock.replace(before, fresh))
    assert [finding.places for finding in look(project).missing] == [("workspace",)]
    place.remove(manifests.key(before))
    found = look(project)
    assert {finding.oid: finding.places for finding in found.missing} == {
        before: ("HEAD",),
        fresh: ("workspace",),
    }
    said = facts(verify.told(found), "wrong")
    assert "expected by HEAD" in said
    assert f"object {fresh}, expected by workspace" in said


def test_files_of_the_same_content_are_one_object_with_all_its_paths(
    here: tuple[Path, Place],
) -> None:
    root, place = here
    place.remove(manifests.key(hashlib.md5(b"the same\n").hexdigest()))
    (finding,) = look(root).missing
    assert (finding.path, finding.n_more) == ("data/raw/many/a", 2)
    (item,) = [item for item in verify.told(look(root)) if item.verdict == "wrong"]
    assert "and 2 more paths of the same content" in item.fact


def test_what_was_only_compared_by_presence_is_said(project: Path) -> None:
    place = Place("folder", str(project.parent / "remote"))
    place.fill(cache(project))
    shutil.rmtree(cache(project) / "files")
    lock = project / "dvc.lock"
    lines = [line for line in lock.read_text().splitlines() if "size:" not in line]
    lock.write_text("\n".join(lines) + "\n")
    subprocess.run(["git", "commit", "--quiet", "-am", "no sizes"], cwd=project, check=True)
    found = verify.verify(project)
    assert proven(found)
    assert "Of 3 objects ONLY PRESENCE WAS COMPARED" in facts(found, "warning")
    assert proven(verify.verify(project, deep=True))
    assert "PRESENCE" not in str(verify.verify(project, deep=True))


def test_a_list_with_paths_that_lead_out_of_its_folder_is_refused(project: Path) -> None:
    place = Place("folder", str(project.parent / "remote"))
    place.fill(cache(project))
    hostile = json.dumps([{"md5": "0" * 32, "relpath": "../../.bashrc"}]).encode()
    oid = hashlib.md5(hostile).hexdigest() + ".dir"
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text().replace(oid_of(project, "results/sum"), oid))
    place.put(manifests.key(oid), hostile)
    found = look(project)
    assert [finding.oid for finding in found.wrong] == [oid]
    assert "../../.bashrc" in found.wrong[0].reason
    assert not found.missing


def test_a_store_whose_hashes_are_not_of_content_is_found_out_and_not_believed(
    here: tuple[Path, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    many, place = here

    plain = Folder.list

    def listed(folder: Folder, prefix: str) -> Iterator[Stored]:
        return (dataclasses.replace(found, md5="0" * 32) for found in plain(folder, prefix))

    monkeypatch.setattr(Folder, "list", listed)
    found = look(many)
    assert found.is_whole
    assert not found.hashes_are_content
    assert found.by_evidence.get("size", 0) > 0
    key = next(key for key in sorted(place.sizes()) if not key.endswith(".dir"))
    place.put(key, b"something else")
    assert [manifests.key(finding.oid) for finding in look(many).wrong] == [key]


def test_the_verb_exits_with_its_verdict_and_prints_one_object(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place("folder", str(project.parent / "remote"))
    place.fill(cache(project))
    for arguments, code in ((["--json"], 0), (["--json", "sum", "--deep"], 0)):
        with pytest.raises(SystemExit) as caught:
            cli.main(["--root", str(project), "verify", *arguments])
        assert caught.value.code == code
        told = json.loads(capsys.readouterr().out)
        assert (told["ok"], told["command"]) == (True, "verify")
    place.remove(manifests.key(oid_of(project, "results/sum")))
    with pytest.raises(SystemExit) as caught:
        cli.main(["--root", str(project), "verify"])
    assert caught.value.code == 1
    said = capsys.readouterr().out
    assert "MISSING" in said
    assert "`results/sum` of stage `sum`" in said
    with pytest.raises(SystemExit) as caught:
        cli.main(["--root", str(project), "verify", "summ"])
    assert caught.value.code == 1
    assert "did you mean 'sum'?" in capsys.readouterr().err


def test_no_remote_and_no_such_remote_are_told(project: Path) -> None:
    with pytest.raises(UserError, match="no DVC remote 'elsewhere'"):
        verify.verify(project, [], "elsewhere")
    with pytest.raises(UserError, match="cannot be read as a DVC project"):
        verify.check(project.parent, [], open_bucket(project))
