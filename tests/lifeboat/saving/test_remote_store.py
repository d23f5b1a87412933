import os
import time
from pathlib import Path

import pytest

from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import partial, store
from lifeboat.saving.partial import Index, Part
from lifeboat.stage.errors import UserError


def part(number: int) -> Part:
    return Part(f"activations/{number}.json", 3, f"{number:064x}", "extract")


@pytest.fixture
def bucket(project: Path, tmp_path: Path) -> Bucket:
    """A remote with the parts 1 to 4, of which two machines name 1 to 3, and 4 is old."""
    bucket = open_bucket(project)
    for number in range(1, 5):
        bucket.write(part(number).key, b"abc")
    old = time.time() - 2 * store.FRESH_PARTS_S
    os.utime(tmp_path / "remote" / part(4).key, (old, old))
    partial.write_index(bucket, Index("one", "c", "main", (part(1), part(2))))
    partial.write_index(bucket, Index("two", "c", "main", (part(2), part(3))))
    return bucket


def held(bucket: Bucket) -> set[int]:
    return {int(stored.key[-1], 16) for stored in bucket.list(partial.OBJECTS)}


def test_old_parts_that_nobody_names_go(project: Path, bucket: Bucket) -> None:
    bucket.write(part(5).key, b"abc")
    found = store.prune_remote(project, dry_run=True)
    assert "Would remove 1 parts" in found[0].fact
    assert part(4).key in found[0].fact
    assert held(bucket) == {1, 2, 3, 4, 5}
    found = store.prune_remote(project)
    assert held(bucket) == {1, 2, 3, 5}
    said = " ".join(item.fact for item in found)
    assert "1 unnamed parts are younger" in said
    assert "Machine one keeps 2 parts of main" in said


def test_a_machine_that_is_forgotten_leaves_what_others_need(project: Path, bucket: Bucket) -> None:
    store.prune_remote(project, forget="one")
    assert held(bucket) == {2, 3}
    assert [index.machine for index in partial.read_indexes(bucket)] == ["two"]
    with pytest.raises(UserError, match="No machine 'one' .* known: two"):
        store.prune_remote(project, forget="one")


def test_an_index_that_cannot_be_read_stops_it(project: Path, bucket: Bucket) -> None:
    bucket.write(f"{partial.INDEXES}three.json", b"{")
    with pytest.raises(UserError, match="no list of unfinished work"):
        store.prune_remote(project)
    assert held(bucket) == {1, 2, 3, 4}
