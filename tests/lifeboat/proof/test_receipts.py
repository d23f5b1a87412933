import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lifeboat.proof import receipts
from lifeboat.proof.receipts import Receipt
from lifeboat.secrets import scanning

RECEIPT = Receipt(
    created="2026-11-25T13:00:00+00:00",
    machine="0123456789abcdef-01234567",
    proven=True,
    content_sha256="a1" * 32,
    commit="b2" * 20,
    branch="main",
    git="git@example.org:study.git",
    remote="s3://study/data",
    comparison="5 by hash",
    n_objects=5,
    missing=("results/sum of sum (1f" + "3c" * 15 + ", a hash): it is not there",),
    outs_sha256="c3" * 32,
    n_parts=2,
    parts_bytes=300,
    parts_sha256="d4" * 32,
    unfinished=("extract",),
)


def test_a_receipt_reads_as_it_was_written_and_the_newest_sound_one_counts(tmp_path: Path) -> None:
    assert receipts.newest(tmp_path) is None
    for stamp in ("20260101_000000", "20260102_000000"):
        receipts.write(tmp_path / "runs" / stamp / receipts.NAME, RECEIPT)
    bad = tmp_path / "runs" / "20260103_000000" / receipts.NAME
    bad.parent.mkdir()
    bad.write_text('{"format": 1}')
    assert receipts.newest(tmp_path) == (
        tmp_path / "runs" / "20260102_000000" / receipts.NAME,
        RECEIPT,
    )


def test_it_says_the_same_whenever_and_by_whichever_commit_it_is_said() -> None:
    assert replace(RECEIPT, created="later", commit="another").state == RECEIPT.state
    assert replace(RECEIPT, n_parts=3).state != RECEIPT.state
    assert replace(RECEIPT, proven=False).state != RECEIPT.state


def test_nothing_in_it_looks_like_a_secret(tmp_path: Path) -> None:
    path = tmp_path / receipts.NAME
    receipts.write(path, RECEIPT)
    assert scanning.find(path.name, path.read_bytes()) == []


@pytest.mark.parametrize(
    "change",
    [{"n_objects": "5"}, {"n_parts": True}, {"missing": 3}, {"branch": None}, {"extra": 1}],
)
def test_what_is_no_receipt_is_passed_over(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "runs" / "20260101_000000" / receipts.NAME
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format": 1, **asdict(RECEIPT), **change}))
    assert receipts.newest(tmp_path) is None
