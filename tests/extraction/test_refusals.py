"""Extraction where the file system refuses locks, links, modes, flushes, direct writes."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from extraction.conftest import Run
from extraction_helpers import contents
from manifests import MANIFEST
from refusals import ERRNOS, by_errno, refuse, refuse_past_cache

from backtracking.activations.reader import ActivationStore
from backtracking.extraction import serialization
from backtracking.extraction.store import Origin, ShardStore, publish
from lifeboat.stage import claims

pytestmark = pytest.mark.kind(4)

REFUSED = ["os.chmod", "os.link", "fcntl.lockf", "fcntl.flock", "os.utime", "os.setpriority"]
MEMBERS = [*REFUSED[:3], "past the cache", *REFUSED[3:], "os.fsync", "os.replace"]
COLUMNS = {name: torch.arange(3) for name in ("trace", "sentence", "position")}


def deny(monkeypatch: pytest.MonkeyPatch, what: str, code: int) -> None:
    if what == "past the cache":
        monkeypatch.setattr(serialization, "_PART", 4096)
        refuse_past_cache(monkeypatch, code)
    else:
        refuse(monkeypatch, what, code)


@pytest.fixture
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waits for a lock"))


@pytest.mark.usefixtures("_nobody_waits")
@pytest.mark.parametrize(("what", "code"), [*zip(MEMBERS, ERRNOS, strict=False)])
def test_a_refusal_changes_no_byte_of_what_is_published(
    run: Run,
    published: ActivationStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    code: int,
) -> None:
    deny(monkeypatch, what, code)
    run()
    assert contents(tmp_path / "out") == contents(published.folder)
    ActivationStore(tmp_path / "out").verify()


def write(shards: ShardStore, key: str) -> None:
    tensors = {"resid_post.0": torch.full((3, 4), 7.0), **COLUMNS}
    shards.write(key, tensors, Origin("base", "spans", (0,), key, 64))


@pytest.mark.usefixtures("_nobody_waits")
@by_errno
@pytest.mark.parametrize("what", REFUSED)
def test_a_store_works_whatever_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, code: int
) -> None:
    deny(monkeypatch, what, code)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # which takes most of the time
    store, beside = (ShardStore(tmp_path / "store" / name) for name in ("shards", "beside"))
    for key in ("a", "b"):
        assert store.claim(key)
        write(store, key)
        store.release(key)
    assert store.claim("c")
    store.close()
    store.sweep()
    assert beside.find("a") == store.find("a") is not None
    publish(store, [shard for shard, _ in store.records()], MANIFEST, tmp_path / "out")
    assert len(contents(tmp_path / "out")) == 3
    assert (tmp_path / "out" / "manifest.json").stat().st_size


def is_free(folder: Path, name: str) -> bool:
    """Whether another process could have a claim."""
    code = "import sys, pathlib, lifeboat.stage.claims as c\n"
    code += "sys.exit(not c.take(pathlib.Path(sys.argv[1]), sys.argv[2]))"
    return subprocess.run([sys.executable, "-c", code, str(folder), name]).returncode == 0


def test_claims_are_those_of_every_unit_and_a_store_that_closes_gives_back_its_own(
    tmp_path: Path,
) -> None:
    """One mechanism: closing a store may not give back what else this process has in its folder."""
    store = ShardStore(tmp_path)
    with claims.claimed(tmp_path, "another"):
        assert store.claim("one")
        assert not is_free(tmp_path, "one")
        store.close()
        assert is_free(tmp_path, "one")
        assert not is_free(tmp_path, "another")


def swept(
    monkeypatch: pytest.MonkeyPatch, folder: Path, write: Callable[..., object]
) -> list[Path]:
    """Has a machine whose clock runs ahead sweep once, in the middle of a shard."""
    removed: list[Path] = []

    def interrupted(*arguments: object) -> object:
        result = write(*arguments)
        if not removed:
            removed.extend(folder.glob(".*.safetensors.*"))
            for path in removed:
                path.unlink()
        return result

    monkeypatch.setattr(serialization, "write", interrupted)
    return removed


def test_a_worker_whose_temporary_file_was_swept_makes_it_again(
    run: Run, published: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = swept(monkeypatch, tmp_path / "store", serialization.write)
    run()
    assert len(removed) == 1
    assert contents(tmp_path / "out") == contents(published.folder)


def test_a_second_store_with_a_clock_ahead_sweeps_nothing_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plain = ShardStore(tmp_path), serialization.write
    inside, go_on = threading.Event(), threading.Event()

    def slow(*arguments: object) -> object:
        inside.set()
        go_on.wait(60)
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(serialization, "write", slow)
    writer = threading.Thread(target=write, args=(store, "one"))
    writer.start()
    inside.wait(60)
    (being_written,) = tmp_path.glob(".one.safetensors.*")
    os.utime(being_written, (0, time.time() - 7200))
    ShardStore(tmp_path).sweep()
    assert being_written.exists()
    go_on.set()
    writer.join()
    assert store.find("one")
