import contextlib
import hashlib
import json
from pathlib import Path

import pytest
from dvc.repo import Repo

from lifeboat import processes
from lifeboat.deadlines import Deadline
from lifeboat.proof import expected, manifests
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import partial, store_parts, unfinished
from lifeboat.saving.partial import Index
from lifeboat.saving.store_parts import Unsent
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

# Of a library of DVC's, on which DVC reads the pipeline.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

STAGES = """\
  weights-base:
    cmd: mkdir -p models/base && echo weights > models/base/model
    outs:
      - models/base
  extract:
    cmd: >-
      mkdir -p data/interim/activations/base &&
      cp .cache/store/data/interim/activations/base/* data/interim/activations/base/
    outs:
      - data/interim/activations/base
"""
CONTRACT = '[tool.lifeboat]\norder = ["models/"]\n'
KEY = "ab" * 32


def piece(out: str, data: bytes, step: str = "") -> str:
    """The path in the store of a piece of an out with these bytes."""
    return f"{out}/{KEY}{step}.{hashlib.sha256(data).hexdigest()}.safetensors"


STEP = piece("models/base", b"step", ".1")
SHARD = piece("data/interim/activations/base", b"shard")


@pytest.fixture
def study(project: Path) -> Path:
    """A project in which a step and a unit wait for their stages to end."""
    with (project / "dvc.yaml").open("a") as file:
        file.write(STAGES)
    (project / "pyproject.toml").write_text(CONTRACT)
    (project / ".gitignore").write_text((project / ".gitignore").read_text() + "/models/*\n")
    store = project / ".cache" / "store"
    for path, data in ((STEP, b"step"), (SHARD, b"shard")):
        artifacts.write_bytes(store / path, data)
    return project


def saved(study: Path) -> set[str]:
    bucket = open_bucket(study)
    unfinished.save(study, expected.read(study), bucket, Deadline())
    return {part.path for index in partial.read_indexes(bucket) for part in index.parts}


def finish(study: Path, *stages: str) -> None:
    with contextlib.chdir(study), Repo() as repo:
        repo.reproduce(list(stages))  # pyright: ignore[reportCallIssue, reportArgumentType]


def send_out(study: Path, bucket: Bucket, path: str) -> None:
    out = next(out for out in expected.read(study).outs if out.path == path)
    cached = study / ".dvc" / "cache" / manifests.key(out.oid)
    for entry in json.loads(cached.read_bytes()):
        bucket.put(
            cached.parents[1] / entry["md5"][:2] / entry["md5"][2:], manifests.key(entry["md5"])
        )
    bucket.put(cached, manifests.key(out.oid))


def test_parts_stay_in_the_index_until_the_remote_has_the_finished_out(study: Path) -> None:
    assert saved(study) == {STEP, SHARD}
    finish(study, "weights-base", "extract")
    (study / ".cache" / "store" / STEP).unlink()
    assert saved(study) == {STEP, SHARD}
    bucket = open_bucket(study)
    send_out(study, bucket, "models/base")
    assert saved(study) == {SHARD}
    send_out(study, bucket, "data/interim/activations/base")
    assert saved(study) == set()


def test_in_a_hurry_shards_of_a_finished_out_that_the_remote_lacks_are_parts(study: Path) -> None:
    finish(study, "extract")
    bucket = open_bucket(study)
    wanted = expected.read(study)
    assert unfinished.save(study, wanted, bucket, Deadline()).parts[0].path == STEP
    kept = unfinished.save(study, wanted, bucket, Deadline(), late_too=True)
    assert {part.path for part in kept.parts} == {STEP, SHARD}
    send_out(study, bucket, "data/interim/activations/base")
    kept = unfinished.save(study, wanted, bucket, Deadline(), late_too=True)
    assert {part.path for part in kept.parts} == {STEP}


def test_with_a_pipeline_that_cannot_be_read_the_committed_one_tells_whose_the_parts_are(
    study: Path,
) -> None:
    processes.git(study, "commit", "--all", "--message", "Stages")
    (study / "dvc.yaml").write_text("stages: [half\n")
    assert saved(study) == {STEP, SHARD}


def test_parts_of_another_branch_stay_named(study: Path) -> None:
    processes.git(study, "commit", "--all", "--message", "Stages")
    assert saved(study) == {STEP, SHARD}
    processes.git(study, "switch", "--create", "other")
    finish(study, "weights-base", "extract")
    bucket = open_bucket(study)
    for path in ("models/base", "data/interim/activations/base"):
        send_out(study, bucket, path)
    assert saved(study) == {STEP, SHARD}
    (index,) = partial.read_indexes(bucket)
    assert index.branch == "main"


def test_while_parts_are_on_their_way_the_index_names_those_that_have_arrived(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that goes in the middle of a long sending leaves what has arrived by then."""
    monkeypatch.setattr(unfinished, "INTERIM_S", 0.0)
    written: list[Index] = []

    def note(bucket: Bucket, index: Index) -> None:
        assert not partial.absent(index.parts, bucket)
        written.append(index)
        write_index(bucket, index)

    write_index = partial.write_index
    monkeypatch.setattr(partial, "write_index", note)
    assert saved(study) == {STEP, SHARD}
    assert [len(index.parts) for index in written] == [1, 2]
    (study / ".cache" / "store" / STEP).unlink()
    later = piece("models/base", b"of a later step", ".2")
    artifacts.write_bytes(study / ".cache" / "store" / later, b"of a later step")
    written.clear()
    assert saved(study) == {later, SHARD}
    assert {STEP} == {p.path for p in written[0].parts} - {later, SHARD}


def test_what_arrives_after_all_have_been_waited_for_changes_no_index(study: Path) -> None:
    saved(study)
    bucket = open_bucket(study)
    (index,) = partial.read_indexes(bucket)
    late = unfinished._Interim(bucket, index, is_over=True, _next_at=0.0)
    late.tell([])
    assert late.written is None
    assert list(partial.read_indexes(bucket)) == [index]


def test_an_index_that_cannot_be_written_yet_keeps_no_part_from_arriving(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "INTERIM_S", 0.0)
    n_asked, write_index = 0, partial.write_index

    def refuse_twice(bucket: Bucket, index: Index) -> None:
        nonlocal n_asked
        n_asked += 1
        if n_asked <= 2:
            raise UserError("The remote is busy.")
        write_index(bucket, index)

    monkeypatch.setattr(partial, "write_index", refuse_twice)
    assert saved(study) == {STEP, SHARD}
    assert n_asked >= 3


def test_a_step_that_is_gone_when_its_turn_comes_is_no_loss_and_the_one_before_stays(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert saved(study) == {STEP, SHARD}
    store, later = study / ".cache" / "store", piece("models/base", b"later", ".2")
    (store / STEP).unlink()
    monkeypatch.setattr(
        store_parts, "waiting", lambda *_: [Unsent(later, "weights-base"), Unsent(SHARD, "extract")]
    )
    kept = unfinished.save(study, expected.read(study), open_bucket(study), Deadline())
    assert kept.left == ()
    assert {part.path for part in kept.parts} == {STEP, SHARD}
