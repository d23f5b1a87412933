import hashlib
import json
import math
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from lifeboat import processes
from lifeboat.proof import expected, manifests
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import open_bucket
from lifeboat.saving import partial, sending
from lifeboat.stage import artifacts
from lifeboat.watching import forwarding
from lifeboat.watching.forwarding import Forwarder

TRAIN = """\
  weights-base:
    cmd: mkdir -p models/base && cp .cache/store/models/base/*.safetensors models/base/
    deps:
      - data/raw/numbers
    outs:
      - models/base
"""


def checkpoint(data: bytes) -> str:
    """The path in the store of a step with these bytes."""
    return f"models/base/{'ab' * 32}.1.{hashlib.sha256(data).hexdigest()}.safetensors"


ONE, TWO = checkpoint(b"one"), checkpoint(b"two")


@pytest.fixture
def training(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two finished stages and one that trains, and remotes that count as away."""
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    bare = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", bare], check=True)
    processes.git(project, "remote", "add", "origin", str(bare))
    with (project / "dvc.yaml").open("a") as file:
        file.write(TRAIN)
    (project / ".gitignore").write_text((project / ".gitignore").read_text() + "/models/*\n")
    return project


def train(project: Path, data: bytes) -> None:
    store = project / ".cache" / "store"
    before = list(store.glob("models/base/[!.]*"))
    artifacts.write_bytes(store / checkpoint(data), data)
    for path in before:
        path.unlink()


def forwarder_of(project: Path) -> tuple[Forwarder, list[str], threading.Event]:
    said: list[str] = []
    given = threading.Event()
    return Forwarder(project, said.append, given), said, given


def lose_files(project: Path, path: str) -> str:
    """Removes an out's files, here and in DVC's cache, but not their list, whose key it returns."""
    (out,) = (one for one in expected.read(project).outs if one.path == path)
    cache = project / ".dvc" / "cache"
    for entry in json.loads((cache / manifests.key(out.oid)).read_bytes()):
        (cache / manifests.key(entry["md5"])).unlink()
    shutil.rmtree(project / path)
    return out.oid


def taken(said: list[str]) -> list[str]:
    lines = [line.split(",")[0] for line in said]
    said.clear()
    return lines


def test_each_thing_is_sent_once_when_it_is_made(
    training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarder, said, _ = forwarder_of(training)
    train(training, b"one")
    forwarder.look()
    outs = ["saved data/raw/numbers of numbers", "saved results/sum of sum"]
    *first, commit, part = taken(said)
    assert first == outs
    assert commit.startswith("saved commit ")
    assert commit.endswith(" on wip/main")
    assert part == f"saved {ONE} of weights-base"
    assert forwarder.unsent() == []

    with monkeypatch.context() as quiet:
        quiet.setattr(forwarding, "open_bucket", None)
        quiet.setattr(forwarding.unfinished, "save", None)
        forwarder.look()
    assert taken(said) == []

    train(training, b"two")
    assert forwarder.unsent() == [TWO]
    forwarder.look()
    assert taken(said) == [f"saved {TWO} of weights-base"]

    assert processes.dvc(training, "repro", "weights-base").returncode == 0
    assert forwarder.unsent() == ["dvc.lock"]
    forwarder.look()
    lines = taken(said)
    assert lines[0] == "saved models/base of weights-base"
    assert lines[1].startswith("saved commit ")
    wanted = expected.read(training)
    bucket = open_bucket(training)
    found = forwarding.inspection.inspect(training, wanted, bucket, [])
    assert (found.missing, found.wrong) == ((), ())
    assert found.n_expected > 6
    (index,) = partial.read_indexes(bucket)
    assert index.parts == ()


def test_what_cannot_be_sent_is_told_once_and_is_sent_later(
    training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_PAUSES", ())
    forwarder, said, _ = forwarder_of(training)
    (tmp_path / "remote").write_text("in the way\n")
    train(training, b"one")
    forwarder.look()
    forwarder.look()
    assert all(
        line.startswith(("NOT SAVED, will be tried again: ", "saved commit")) for line in said
    )
    assert len(set(said)) == len(said) >= 1
    assert ONE in forwarder.unsent()
    (tmp_path / "remote").unlink()
    said.clear()
    forwarder.look()
    assert f"saved {ONE} of weights-base" in taken(said)
    assert forwarder.unsent() == []


def test_what_is_recorded_but_nowhere_is_said_once_and_slows_nothing_down(training: Path) -> None:
    """A clone knows outs of the machine before, which no one has any more."""
    (training / ".dvc" / "cache" / manifests.key(lose_files(training, "results/sum"))).unlink()
    forwarder, said, _ = forwarder_of(training)
    train(training, b"one")
    forwarder.look()
    assert said[0].startswith("saved data/raw/numbers of numbers")
    assert said[1] == "NOT SAVED until they run again: sum: recorded, and neither here nor there"
    assert forwarder.unsent() == []
    assert forwarder._retry_at == -math.inf
    said.clear()
    train(training, b"two")
    forwarder.look()
    assert taken(said) == [f"saved {TWO} of weights-base"]
    assert processes.dvc(training, "repro", "sum").returncode == 0
    forwarder.look()
    assert "saved results/sum of sum" in taken(said)


def test_a_list_of_files_waits_for_those_that_are_nowhere(training: Path) -> None:
    """DVC takes a folder for pushed as soon as its list is there."""
    oid = lose_files(training, "results/sum")
    forwarder, said, _ = forwarder_of(training)
    forwarder.look()
    assert any("sum: recorded, and neither here nor there" in line for line in said)
    assert open_bucket(training).find(manifests.key(oid)) is None


def test_an_error_that_nobody_foresaw_ends_neither_the_other_steps_nor_the_watch(
    training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarder, said, _ = forwarder_of(training)
    train(training, b"one")
    with monkeypatch.context() as broken:
        broken.setattr(forwarding.inspection, "inspect", lambda *_: 1 / 0)
        forwarder.look()
    assert "NOT SAVED, will be tried again: ZeroDivisionError: division by zero" in "\n".join(said)
    lines = taken(said)
    assert f"saved {ONE} of weights-base" in lines
    assert any(line.startswith("saved commit") for line in lines)
    forwarder.look()
    assert "saved results/sum of sum" in taken(said)


def test_a_notice_cuts_the_sending_short(training: Path) -> None:
    forwarder, said, given = forwarder_of(training)
    train(training, b"one")
    given.set()
    forwarder.look()
    assert not any(line.startswith("saved data") for line in said)
    assert "dvc.lock" in forwarder.unsent()
    forwarder.run(0.1)


def test_data_that_is_added_meanwhile_is_sent(training: Path) -> None:
    said: list[str] = []
    forwarder = Forwarder(training, said.append, threading.Event())
    forwarder.look()
    (training / "data" / "raw" / "x.csv").write_text("x\n")
    dvc = ["dvc", "add", "--quiet", "data/raw/x.csv"]
    subprocess.run(dvc, cwd=training, check=True)
    assert forwarder.unsent() == ["data/raw/x.csv.dvc"]
    forwarder.look()
    assert any(line.startswith("saved data/raw/x.csv of") for line in said), said
    assert forwarder.unsent() == []
