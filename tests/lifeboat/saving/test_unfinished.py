import json
from pathlib import Path

import pytest

from lifeboat import processes
from lifeboat.deadlines import Deadline
from lifeboat.proof import expected, manifests
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import partial, unfinished
from lifeboat.saving.partial import Index
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

STAGES = """\
  weights-base:
    cmd: mkdir -p models/base && echo weights > models/base/model
    outs:
      - models/base
  extract:
    cmd: >-
      mkdir -p data/interim/activations/base &&
      cp .cache/store/activations/*.safetensors data/interim/activations/base/
    outs:
      - data/interim/activations/base
"""
CHECKPOINT = "checkpoints/base.k.safetensors"
SHARD, RECORD = "activations/a.safetensors", "activations/a.json"


@pytest.fixture
def study(project: Path) -> Path:
    """A project in which a checkpoint and a shard wait for their stages to end."""
    with (project / "dvc.yaml").open("a") as file:
        file.write(STAGES)
    (project / ".gitignore").write_text((project / ".gitignore").read_text() + "/models/*\n")
    store = project / ".cache" / "store"
    for path in (CHECKPOINT, SHARD):
        artifacts.write_bytes(store / path, path.encode())
    record = {"file": "a.safetensors", "sha256": artifacts.sha256_file(store / SHARD)}
    artifacts.write_json(store / RECORD, record)
    return project


def saved(study: Path) -> set[str]:
    bucket = open_bucket(study)
    unfinished.save(study, expected.read(study), bucket, Deadline())
    return {part.path for index in partial.read_indexes(bucket) for part in index.parts}


def finish(study: Path, *stages: str) -> None:
    done = processes.dvc(study, "repro", *stages)
    assert done.returncode == 0, done.stderr


def send_out(study: Path, bucket: Bucket, path: str) -> None:
    out = next(out for out in expected.read(study).outs if out.path == path)
    cached = study / ".dvc" / "cache" / manifests.key(out.oid)
    for entry in json.loads(cached.read_bytes()):
        bucket.put(
            cached.parents[1] / entry["md5"][:2] / entry["md5"][2:], manifests.key(entry["md5"])
        )
    bucket.put(cached, manifests.key(out.oid))


def test_parts_stay_in_the_index_until_the_remote_has_the_finished_out(study: Path) -> None:
    assert saved(study) == {CHECKPOINT, SHARD, RECORD}
    finish(study, "weights-base", "extract")
    (study / ".cache" / "store" / CHECKPOINT).unlink()
    assert saved(study) == {CHECKPOINT, SHARD, RECORD}
    bucket = open_bucket(study)
    send_out(study, bucket, "models/base")
    assert saved(study) == {SHARD, RECORD}
    send_out(study, bucket, "data/interim/activations/base")
    assert saved(study) == set()


def test_in_a_hurry_shards_of_a_finished_out_that_the_remote_lacks_are_parts(study: Path) -> None:
    finish(study, "extract")
    bucket = open_bucket(study)
    wanted = expected.read(study)
    assert unfinished.save(study, wanted, bucket, Deadline()).parts[0].path == CHECKPOINT
    kept = unfinished.save(study, wanted, bucket, Deadline(), late_too=True)
    assert {part.path for part in kept.parts} == {CHECKPOINT, SHARD, RECORD}
    send_out(study, bucket, "data/interim/activations/base")
    kept = unfinished.save(study, wanted, bucket, Deadline(), late_too=True)
    assert {part.path for part in kept.parts} == {CHECKPOINT}


def test_with_a_pipeline_that_cannot_be_read_the_committed_one_tells_whose_the_parts_are(
    study: Path,
) -> None:
    processes.git(study, "commit", "--all", "--message", "Stages")
    (study / "dvc.yaml").write_text("stages: [half\n")
    assert saved(study) == {CHECKPOINT, SHARD, RECORD}


def test_parts_of_another_branch_stay_named(study: Path) -> None:
    processes.git(study, "commit", "--all", "--message", "Stages")
    assert saved(study) == {CHECKPOINT, SHARD, RECORD}
    processes.git(study, "switch", "--create", "other")
    finish(study, "weights-base", "extract")
    bucket = open_bucket(study)
    for path in ("models/base", "data/interim/activations/base"):
        send_out(study, bucket, path)
    assert saved(study) == {CHECKPOINT, SHARD, RECORD}
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
    assert saved(study) == {CHECKPOINT, SHARD, RECORD}
    assert [len(index.parts) for index in written] == [1, 2, 3]
    (study / ".cache" / "store" / CHECKPOINT).write_bytes(b"of a later step")
    written.clear()
    assert saved(study) == {CHECKPOINT, SHARD, RECORD}
    assert {len(index.parts) for index in written} == {3}


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
    assert saved(study) == {CHECKPOINT, SHARD, RECORD}
    assert n_asked >= 3
