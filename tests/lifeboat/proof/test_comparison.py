import hashlib
from pathlib import Path
from typing import Any

import pytest
import servers

from lifeboat.proof import comparison
from lifeboat.proof.comparison import Judge, Judgement, Meant, composite_etag
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import Bucket, Stored, open_bucket
from lifeboat.remotes.store_errors import Kind, StoreError


class Content(Bucket):
    """A remote of one content that counts how often it is read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.n_reads, self.n_tasted = data, 0, 0

    def digest(self, key: str, kind: str = "md5") -> str:
        self.n_reads += 1
        return hashlib.new(kind, self.data).hexdigest()

    def require_open(self, stored: Stored) -> str:
        self.n_tasted += 1
        return ""


def judged(
    content: Content, stored: Stored, cached: Path, *, size: int | None = None, deep: bool = False
) -> Judgement:
    return Judge(content, deep).judge(Meant("k", OID, size, cached), stored)


GOOD, BAD = b"good", b"evil"
OID = hashlib.md5(GOOD).hexdigest()
NOWHERE = Path("/nonexistent")


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    (tmp_path / "cached").write_bytes(GOOD)
    return tmp_path / "cached"


def test_the_strongest_cheap_evidence_acquits_without_reading(cached: Path) -> None:
    content = Content(GOOD)
    assert judged(content, Stored("k", 4), cached) == Judgement("size")
    assert judged(content, Stored("k", 4), NOWHERE, size=4) == Judgement("size")
    assert judged(content, Stored("k", 4), NOWHERE) == Judgement("presence")
    assert content.n_reads == 0
    assert judged(content, Stored("k", 4, OID), cached, deep=True) == Judgement("read")


@pytest.mark.parametrize(
    ("n_bytes", "hurried", "n_looks"),
    [(4, False, (1, 0)), (2**30, False, (0, 1)), (4, True, (0, 0))],
)
def test_a_hash_acquits_where_one_object_could_be_read(
    n_bytes: int, hurried: bool, n_looks: tuple[int, int]
) -> None:
    content = Content(GOOD)
    judge = Judge(content, hurried=hurried)
    for _ in range(3):
        assert judge.judge(Meant("k", OID), Stored("k", n_bytes, OID)) == Judgement("hash")
    assert (content.n_reads, content.n_tasted) == n_looks


def test_nothing_is_called_wrong_unread(cached: Path) -> None:
    content = Content(GOOD)
    assert judged(content, Stored("k", 4, "0" * 32), cached) == Judgement("read")
    assert judged(content, Stored("k", 5), cached) == Judgement("read")
    assert judged(content, Stored("k", 5), NOWHERE, size=4) == Judgement("read")
    assert content.n_reads == 3
    wrong = judged(Content(BAD), Stored("k", 4, "0" * 32), cached).wrong
    assert wrong == f"its 4 bytes hash to {hashlib.md5(BAD).hexdigest()}"


def test_a_damaged_local_copy_makes_no_remote_one_wrong(cached: Path) -> None:
    cached.write_bytes(b"rotten, and longer")
    assert judged(Content(GOOD), Stored("k", 4), cached) == Judgement("read")


def test_a_list_of_files_is_read_where_the_store_gives_no_hash(cached: Path) -> None:
    content = Content(GOOD)
    judge = Judge(content, False)
    assert judge.judge(Meant("k.dir", OID, None, cached), Stored("k.dir", 4)) == Judgement("read")


def test_an_etag_of_parts_is_that_of_the_server(
    project: Path, tmp_path: Path, moto_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * 2**20
    monkeypatch.setattr(comparison, "PART", part)
    for name, value in servers.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    remote.set_default(project, f"s3://study/{tmp_path.name}", moto_server)
    data = bytes(2 * part + 7)
    (tmp_path / "big").write_bytes(data)
    oid = hashlib.md5(data).hexdigest()
    with servers.client(moto_server) as s3:
        where: dict[str, Any] = {"Bucket": "study", "Key": f"{tmp_path.name}/big"}
        upload = s3.create_multipart_upload(**where)["UploadId"]
        parts = [
            {
                "PartNumber": n,
                "ETag": s3.upload_part(
                    **where, UploadId=upload, PartNumber=n, Body=data[(n - 1) * part : n * part]
                )["ETag"],
            }
            for n in (1, 2, 3)
        ]
        s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    bucket = open_bucket(project)
    stored = bucket.find("big")
    assert stored is not None
    assert stored.md5 is None
    assert composite_etag(tmp_path / "big") == (oid, stored.etag)
    judge = Judge(bucket, False)
    assert judge.judge(Meant("big", oid, None, tmp_path / "big"), stored) == Judgement("hash")
    assert judge.judge(Meant("big", oid, None, NOWHERE), stored) == Judgement("presence")
    (tmp_path / "big").write_bytes(b"?" + data[1:])
    assert judge.judge(Meant("big", oid, None, tmp_path / "big"), stored) == Judgement("size")


def test_hashes_of_a_store_that_are_not_of_content_accuse_no_more_and_a_byte_is_read() -> None:
    content = Content(GOOD)
    judge, other = Judge(content), Stored("k", 4, "1" * 32)
    assert judge.judge(Meant("k", OID, 4), Stored("k", 4, "0" * 32)) == Judgement("read")
    assert not judge.hashes_are_content
    assert judge.judge(Meant("k", OID, 4), other) == Judgement("size")
    assert (content.n_reads, content.n_tasted) == (1, 1)
    assert judge.judge(Meant("k", OID, 4), Stored("k", 4, OID)) == Judgement("hash")
    hurried = Judge(content, hurried=True)
    hurried.hashes_are_content = False
    assert hurried.judge(Meant("k", OID, 4), other) == Judgement("size")
    assert content.n_tasted == 1


def test_what_concerns_one_object_is_a_verdict_and_what_concerns_the_store_is_raised() -> None:
    class Shut(Content):
        def require_open(self, stored: Stored) -> str:
            raise StoreError(self.kind, "s3://study/k", "said")

        kind: Kind = "archived"

    shut = Shut(GOOD)
    judged = Judge(shut).judge(Meant("k", OID, 4), Stored("k", 4, OID, tier="GLACIER"))
    assert judged.wrong == "it is archived and cannot be read (said)"
    assert "restore-object --bucket study --key k " in judged.cure
    shut.kind = "missing object"
    stored = Stored("k", 4, OID, tier="GLACIER")
    assert Judge(shut).judge(Meant("k", OID, 4), stored) == Judge(shut).judge(
        Meant("k", OID, 4), None
    )
    shut.kind = "throttled"
    with pytest.raises(StoreError):
        Judge(shut).judge(Meant("k", OID, 4), stored)
