import hashlib
import json
import shutil
from pathlib import Path

import pytest

from lifeboat import processes
from lifeboat.proof import expected
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.restoring import fetching, restore
from lifeboat.restoring.fetching import Fetched


@pytest.fixture
def clone(project: Path, tmp_path: Path) -> Path:
    """A clone without data, of a project whose remote has all of it."""
    shutil.copytree(project / ".dvc" / "cache", tmp_path / "remote")
    root = tmp_path / "clone"
    done = processes.git(tmp_path, "clone", "--quiet", str(project), str(root))
    assert done.returncode == 0, done.stderr
    return root


def fetch(root: Path) -> Fetched:
    return fetching.fetch(expected.read(root), open_bucket(root))


def objects(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "files").rglob("*") if path.is_file())


def remote_object(root: Path, content: bytes) -> Path:
    oid = hashlib.md5(content).hexdigest()
    return root.parent / "remote" / "files" / "md5" / oid[:2] / oid[2:]


def alter(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"altered")


def test_everything_that_the_lock_records_enters_the_cache_and_then_the_workspace(
    clone: Path,
) -> None:
    fetched = fetch(clone)
    assert [out.path for out in fetched.whole] == ["data/raw/numbers", "results/sum"]
    assert (fetched.losses, fetched.n_objects, fetched.stopped) == ({}, 5, "")
    cache = clone / ".dvc" / "cache"
    assert len(objects(cache)) == 5
    assert {path.stat().st_mode & 0o777 for path in objects(cache)} == {0o444}
    assert not (cache / "arriving").exists()
    assert restore.check_out(clone, fetched.whole) == []
    assert (clone / "results" / "sum" / "sum.txt").read_text() == "1\n2\n"
    status = processes.dvc(clone, "status", "--json")
    assert json.loads(status.stdout) == {}
    again = fetch(clone)
    assert (len(again.whole), again.n_objects) == (2, 0)
    assert fetching.told(again, "there")[0].fact == (
        "2 of 2 finished outs are whole in DVC's cache; 0 objects, 0.0 MB, came from there."
    )


def test_an_altered_object_does_not_enter_and_is_named(clone: Path) -> None:
    alter(remote_object(clone, b"1\n"))
    fetched = fetch(clone)
    assert [out.path for out in fetched.whole] == ["results/sum"]
    _, item = fetching.told(fetched, "there")
    assert item.verdict == "wrong"
    oid = hashlib.md5(b"1\n").hexdigest()
    assert f"data/raw/numbers/one ({oid}) has other bytes than its name says" in item.fact
    assert not (clone / ".dvc/cache" / fetching.manifests.key(oid)).exists()


def test_a_missing_object_and_a_missing_list_are_named(clone: Path) -> None:
    remote_object(clone, b"2\n").unlink()
    listed = next(p for p in objects(clone.parent / "remote") if b"sum.txt" in p.read_bytes())
    listed.unlink()
    fetched = fetch(clone)
    assert fetched.whole == []
    _, *items = fetching.told(fetched, "there")
    assert [item.verdict for item in items] == ["wrong", "wrong"]
    assert "data/raw/numbers/two" in items[0].fact
    assert "is not there" in items[0].fact
    assert "NOT BROUGHT BACK, because there does not have them: `results/sum`." in items[1].fact


@pytest.mark.kind(8)
def test_a_remote_that_has_nothing_is_told_in_one_line_for_stages_and_one_for_added_data(
    clone: Path,
) -> None:
    (clone / "x.csv.dvc").write_text(
        "outs:\n- md5: 401b30e3b8b5d629635a5c613cdb7919\n  hash: md5\n  path: x.csv\n"
    )
    for path in objects(clone.parent / "remote"):
        path.unlink()
    _, made, added = fetching.told(fetch(clone), "there")
    assert [made.verdict, added.verdict] == ["wrong", "wrong"]
    assert "have them: `data/raw/numbers`, `results/sum`." in made.fact
    assert "git switch" in made.cure and "their stages run again" in made.cure
    assert "`x.csv`" in added.fact and "no stage makes them" in added.cure


def test_a_damaged_list_is_not_believed(clone: Path) -> None:
    listed = next(p for p in objects(clone.parent / "remote") if b"sum.txt" in p.read_bytes())
    alter(listed)
    (losses,) = fetch(clone).losses.values()
    assert losses[0][1].altered


def test_a_damaged_object_of_the_cache_is_replaced_by_the_whole_one(clone: Path) -> None:
    fetch(clone)
    place = clone / ".dvc/cache" / remote_object(clone, b"1\n").relative_to(clone.parent / "remote")
    alter(place)
    assert fetch(clone).n_objects == 1
    assert place.read_bytes() == b"1\n"


class Broken(Bucket):
    """A remote that fails at the fourth object that is asked for."""

    def __init__(self, inner: Bucket) -> None:
        self.inner, self.url, self.n_left = inner, inner.url, 3

    def read(self, key: str) -> bytes:
        return self.inner.read(key)

    def get(self, key: str, target: Path) -> None:
        if not self.n_left:
            raise fetching.StoreError("unreachable", self.url, "cable")
        self.n_left -= 1
        self.inner.get(key, target)


def test_a_remote_that_fails_ends_the_fetch_and_the_next_one_goes_on(clone: Path) -> None:
    fetched = fetching.fetch(expected.read(clone), Broken(open_bucket(clone)))
    assert [out.path for out in fetched.whole] == ["data/raw/numbers"]
    *_, item = fetching.told(fetched, "there")
    assert item.verdict == "wrong"
    assert "cannot be reached, or the connection broke (cable)" in item.fact
    assert fetch(clone).n_objects == 2


def test_an_out_with_files_that_are_saved_nowhere_is_left_as_it_is(clone: Path) -> None:
    fetched = fetch(clone)
    mine = clone / "data" / "raw" / "numbers" / "one"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine\n")
    (item,) = restore.check_out(clone, fetched.whole)
    assert item.verdict == "warning"
    assert "`data/raw/numbers` was left as it is" in item.fact
    assert mine.read_text() == "mine\n"
    assert (clone / "results" / "sum" / "sum.txt").exists()


def test_where_no_stage_had_finished_that_is_said(clone: Path) -> None:
    (clone / "dvc.lock").unlink()
    (item,) = fetching.told(fetch(clone), "there")
    assert item.fact == "No stage had finished: dvc.lock and .dvc files record no data."
