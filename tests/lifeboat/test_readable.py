"""What a store lists is not yet there, readable and right: stores of many kinds, one verdict."""

import gzip
import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import faulty_proxy
import members
import odd_stores
import pytest
import servers
from faulty_proxy import Oddity, Proxy
from odd_stores import Odd
from project import call
from repositories import facts
from servers import Place

from lifeboat.deadlines import Deadline
from lifeboat.items import proven
from lifeboat.proof import expected, inspection, manifests, verify
from lifeboat.proof.expected import Expected
from lifeboat.proof.inspection import Verified
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.restoring import fetching, salvage
from lifeboat.saving import backup, finished, partial, sending, store_parts
from lifeboat.saving.partial import Index, Part
from lifeboat.saving.store_parts import Unsent
from lifeboat.stage import artifacts

pytestmark = pytest.mark.kind(5)

_SHUT = (403, "InvalidObjectState", "The operation is not valid for the object's storage class")
_SSE_C = "The object was stored using a form of Server Side Encryption. The correct parameters"
_ASKED = {"x-amz-restore": 'ongoing-request="true"'}
_LENT = {"x-amz-restore": 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"'}

UNREADABLE: dict[str, tuple[Odd, str, str]] = {
    "GLACIER": (Odd({}, "GLACIER", _SHUT), "is archived", "aws s3api restore-object"),
    "DEEP_ARCHIVE": (Odd({}, "DEEP_ARCHIVE", _SHUT), "is archived", "aws s3api restore-object"),
    "GLACIER that is being restored": (
        Odd(_ASKED, "GLACIER", _SHUT), "on its way out of the archive", "head-object",
    ),
    "INTELLIGENT_TIERING in its archive": (
        Odd({"x-amz-archive-status": "ARCHIVE_ACCESS"}, "INTELLIGENT_TIERING", _SHUT),
        "is archived", "--restore-request '{}'",
    ),
    "INTELLIGENT_TIERING on its way out": (
        Odd({**_ASKED, "x-amz-archive-status": "DEEP_ARCHIVE_ACCESS"},
            "INTELLIGENT_TIERING", _SHUT),
        "on its way out of the archive", "head-object",
    ),
    "a class that nobody knows": (
        Odd({}, "COLD_ARCHIVE", _SHUT), "is archived", "aws s3api restore-object",
    ),
}  # fmt: skip
READABLE = {
    "STANDARD_IA": (Odd({}, "STANDARD_IA"), ""),
    "GLACIER_IR": (Odd({}, "GLACIER_IR"), ""),
    "INTELLIGENT_TIERING": (Odd({}, "INTELLIGENT_TIERING"), ""),
    "GLACIER that was restored for a while": (Odd(_LENT, "GLACIER"), "until Fri, 21 Dec 2029"),
    "a class of Ceph's own name": (Odd({}, "FLASH"), ""),
}
SEALED = {
    "SSE-C without its key": ((400, "InvalidRequest", _SSE_C), "sse_customer_key"),
    "KMS with a key that is off": ((400, "KMS.DisabledException", "x is disabled."), "kms:Decrypt"),
    "KMS with a key of others": (
        (403, "AccessDenied", "not authorized to perform: kms:Decrypt on the resource"),
        "kms:Decrypt",
    ),
}
_KMS = {"x-amz-server-side-encryption": "aws:kms"}
_OTHERS = odd_stores.of_something_else
ETAGS: dict[str, Oddity] = {
    "KMS, told by HEAD": odd_stores.etags(_OTHERS, _KMS),
    "encrypted without a word": odd_stores.etags(_OTHERS),
    "KMS with two layers": odd_stores.etags(
        _OTHERS, {"x-amz-server-side-encryption": "aws:kms:dsse"}
    ),
    "SSE-C with its key": odd_stores.etags(
        _OTHERS, {"x-amz-server-side-encryption-customer-key-md5": "00"}
    ),
    "in parts, composite": odd_stores.etags(lambda etag: f'"{etag[::-1]}-1"'),
    "weak": odd_stores.etags(lambda etag: f'W/"{etag}"'),
    "in capitals": odd_stores.etags(lambda etag: f'"{etag.upper()}"'),
    "none": odd_stores.etags(lambda _etag: ""),
}


def reads(status: int, change: Callable[[bytes], bytes]) -> Oddity:
    """A store that lists all as it is and gives something else to who reads."""

    def oddity(request: faulty_proxy.Request, answer: faulty_proxy.Answer) -> None:
        if faulty_proxy.downloads(request):
            answer.status, answer.data = status, change(answer.data)
            answer.headers["content-type"] = "application/xml"

    return oddity


_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
LISTED: dict[str, tuple[Oddity, str]] = {
    "credentials that may list and write": (reads(403, lambda _: _DENIED), "does not allow it"),
    "a page for people": (reads(200, lambda _: b"<html>Sign in</html>"), "hash to"),
    "cut short": (reads(200, lambda data: data[:-1]), "hash to"),
    "nothing": (reads(204, lambda _: b""), "hash to"),
    "packed on the way": (reads(200, gzip.compress), "hash to"),
}
"""What is listed with the right hash and cannot be read: how, and what is said of each object."""
OUT = "data/interim/activations/base"


@pytest.fixture(scope="module")
def between(moto_server: str) -> Iterator[Proxy]:
    """What stands between the verbs and moto."""
    with faulty_proxy.proxy(moto_server) as running:
        yield running


@pytest.fixture
def proxy(between: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """The same, with nothing odd yet."""
    for name, value in {**servers.CREDENTIALS, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sending, "_PAUSES", (0.0, 0.0))
    between.oddity = None
    return between


@pytest.fixture(scope="module")
def made(
    finished_project: Path,
    between: Proxy,
    moto_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Place, Expected]:
    """The finished project, the store past the proxy, and what is expected there."""
    root = tmp_path_factory.mktemp("readable") / "project"
    shutil.copytree(finished_project, root, symlinks=True)
    place = Place("moto", f"s3://{servers.BUCKET}/readable", moto_server)
    remote.set_default(root, place.url, between.endpoint)
    call(root, "git", "commit", "--quiet", "--all", "--message", "A remote")
    return root, place, expected.read(root)


@pytest.fixture
def place(made: tuple[Path, Place, Expected]) -> Place:
    """The store itself, with all of the finished data and nothing else."""
    root, there, _wanted = made
    for key in there.sizes():
        there.remove(key)
    there.fill(root / ".dvc" / "cache")
    return there


@pytest.fixture
def study(made: tuple[Path, Place, Expected], place: Place, proxy: Proxy) -> Path:
    """The finished project, all of it in the store."""
    assert place.sizes()
    assert proxy.oddity is None
    return made[0]


@pytest.fixture
def wanted(made: tuple[Path, Place, Expected]) -> Expected:
    """What is expected in the store, and is in the cache here."""
    return made[2]


@pytest.fixture
def far(wanted: Expected, tmp_path: Path) -> Expected:
    """The same on a machine that has nothing of it."""
    return replace(wanted, cache=tmp_path / "cache")


def key_of(data: bytes) -> str:
    return manifests.key(hashlib.md5(data).hexdigest())


ONE, TWO = key_of(b"1\n"), key_of(b"2\n")


def at(place: Place, *keys: str) -> set[str]:
    """Keys in the bucket."""
    prefix = place.url.removeprefix(f"s3://{servers.BUCKET}/")
    return {f"{prefix}/{key}" for key in keys}


def look(root: Path, wanted: Expected, *, deep: bool = False) -> Verified:
    return inspection.inspect(root, wanted, open_bucket(root), [], deep=deep)


def lost(found: Verified) -> dict[str, str]:
    return {manifests.key(one.oid): one.reason for one in (*found.missing, *found.wrong)}


def refused(name: str, place: Place) -> tuple[Odd, str, str]:
    """A store that lists two objects and does not let them be read; its words and its cure."""
    if name in UNREADABLE:
        odd, says, cure = UNREADABLE[name]
    else:
        refusal, cure = SEALED[name]
        odd, says = Odd({}, "", refusal), "encrypted with a key that may not be used"
    return replace(odd, keys=at(place, ONE, TWO)), says, cure


@pytest.mark.parametrize("name", members.few(UNREADABLE))
def test_what_is_listed_and_cannot_be_read_is_not_saved_until_it_is_sent_anew(
    study: Path, wanted: Expected, far: Expected, proxy: Proxy, place: Place, name: str
) -> None:
    odd, says, cure = refused(name, place)
    proxy.oddity = odd
    for deep in (False, True):
        found = look(study, wanted, deep=deep)
        assert set(lost(found)) == {ONE, TWO}
        assert all(says in reason for reason in lost(found).values())
        assert found.n_present == 3
    before = finished.look(study, found.expected, open_bucket(study), Deadline.after(60))
    assert set(lost(before)) == {ONE, TWO}
    sent = sending.send(before.wrong, before.expected, study, open_bucket(study), Deadline())
    assert len(sent.done) == 2
    assert look(study, wanted).is_whole
    proxy.oddity = refused(name, place)[0]
    told = verify.told(look(study, far))
    assert not proven(told)
    assert all(cure in item.cure for item in told if item.verdict == "wrong")


@pytest.mark.parametrize("name", members.few([*SEALED, *UNREADABLE]))
def test_restore_brings_what_is_readable_and_names_the_rest_with_its_cure(
    study: Path, wanted: Expected, far: Expected, proxy: Proxy, place: Place, name: str
) -> None:
    proxy.oddity, says, cure = refused(name, place)
    fetched = fetching.fetch(far, open_bucket(study))
    assert (fetched.stopped, fetched.n_objects) == ("", 2)
    assert [out.path for out in fetched.whole] == ["results/sum"]
    (item,) = [item for item in fetching.told(fetched, "there") if item.verdict == "wrong"]
    assert says in item.fact
    assert "data/raw/numbers/one" in item.fact
    assert "data/raw/numbers/two" in item.fact
    assert cure in item.cure


@pytest.mark.parametrize("name", ["GLACIER", "KMS with a key that is off"])
def test_a_list_that_cannot_be_read_hides_its_own_files_and_no_others(
    study: Path, wanted: Expected, far: Expected, proxy: Proxy, place: Place, name: str
) -> None:
    oid = next(out.oid for out in wanted.outs if out.path == "data/raw/numbers")
    odd, says, _cure = refused(name, place)
    proxy.oddity = replace(odd, keys=at(place, manifests.key(oid)))
    fetched = fetching.fetch(far, open_bucket(study))
    assert [out.path for out in fetched.whole] == ["results/sum"]
    assert "so its files are unknown" in facts(fetching.told(fetched, "there"), "wrong")
    if name in UNREADABLE:
        (reason,) = lost(look(study, far)).values()
        assert says in reason
        assert "its 2 files are unknown" in reason


@pytest.mark.parametrize("name", members.few(SEALED, 1))
def test_where_hashes_tell_nothing_a_byte_tells_whether_a_key_may_be_used(
    study: Path, wanted: Expected, far: Expected, proxy: Proxy, place: Place, name: str
) -> None:
    odd, says, cure = refused(name, place)
    encrypted = odd_stores.etags(_OTHERS)

    def oddity(request: faulty_proxy.Request, answer: faulty_proxy.Answer) -> None:
        encrypted(request, answer)
        odd(request, answer)

    proxy.oddity = oddity
    found = look(study, wanted)
    assert set(lost(found)) == {ONE, TWO}
    assert all(says in reason for reason in lost(found).values())
    assert {one.cure for one in found.wrong if cure in one.cure}


@pytest.mark.parametrize("name", members.few(LISTED))
def test_a_hash_counts_only_where_an_object_could_be_read(
    study: Path, wanted: Expected, proxy: Proxy, place: Place, name: str
) -> None:
    assert look(study, wanted).by_evidence == {"hash": 5}
    proxy.oddity, says = LISTED[name]
    found = look(study, wanted)
    assert len(lost(found)) == 5
    assert all(says in reason for reason in lost(found).values())
    told = [item.cure for item in verify.told(found) if item.verdict == "wrong"]
    assert all(("list, read and write" in cure) == (says == "does not allow it") for cure in told)


@pytest.mark.parametrize("status", [400, 403])
def test_a_store_that_refuses_to_describe_objects_gives_their_cause_or_the_objects(
    study: Path, wanted: Expected, far: Expected, proxy: Proxy, status: int
) -> None:
    def oddity(request: faulty_proxy.Request, answer: faulty_proxy.Answer) -> None:
        if request.method == "HEAD" and request.is_object:
            answer.status = status

    proxy.oddity = oddity
    fetched = fetching.fetch(far, open_bucket(study))
    said = facts(fetching.told(fetched, "there"), "wrong")
    assert "no sound list" not in said
    assert len(fetched.whole) == 2 or str(status) in said, said


@pytest.mark.parametrize("name", members.few(READABLE))
def test_a_class_whose_objects_can_be_read_is_no_fault(
    study: Path, wanted: Expected, far: Expected, proxy: Proxy, place: Place, name: str
) -> None:
    odd, until = READABLE[name]
    proxy.oddity = replace(odd, keys=at(place, *place.sizes()))
    found = look(study, wanted)
    assert found.is_whole
    assert found.by_evidence == {"hash": 5}
    assert until in facts(verify.told(found), "warning")
    assert len(fetching.fetch(far, open_bucket(study)).whole) == 2


def put_parts(root: Path, bucket: Bucket, before: tuple[Part, ...] = ()) -> list[Part]:
    """Two units of an unfinished stage, sent and named."""
    store, wanted = root / ".cache" / "store", []
    for data in (b"aa", b"bb"):
        path = f"{OUT}/{'ab' * 32}.{hashlib.sha256(data).hexdigest()}.safetensors"
        artifacts.write_bytes(store / path, data)
        wanted.append(Unsent(path, "extract@base"))
    parts, sent = store_parts.send(store, wanted, bucket, Deadline(), before)
    assert sent.left == ()
    partial.write_index(bucket, Index("one", "0" * 40, "main", tuple(parts)))
    return parts


@pytest.mark.parametrize("name", members.few(UNREADABLE))
def test_a_part_that_cannot_be_read_is_sent_anew_or_named_and_the_others_come(
    study: Path, proxy: Proxy, place: Place, name: str, tmp_path: Path
) -> None:
    bucket = open_bucket(study)
    parts = put_parts(study, bucket)
    odd, says, cure = UNREADABLE[name]
    proxy.oddity = replace(odd, keys=at(place, parts[0].key))
    ((part, verdict),) = partial.absent(parts, bucket)
    assert part == parts[0]
    assert says in verdict.wrong
    found = salvage.salvage(tmp_path / "store", bucket, "main", {"extract@base"})
    assert [part.path for part in found.brought] == [parts[1].path]
    (item,) = [item for item in salvage.told(found) if item.verdict == "wrong"]
    assert says in item.fact
    assert cure in item.cure
    put_parts(study, bucket)
    assert partial.absent(parts, bucket) == []


def test_an_index_that_cannot_be_read_is_named_and_hides_no_other(
    study: Path, proxy: Proxy, place: Place, tmp_path: Path
) -> None:
    bucket = open_bucket(study)
    parts = put_parts(study, bucket)
    other = Index("two", "0" * 40, "main", tuple(parts))
    partial.write_index(bucket, other)
    odd, says, _cure = UNREADABLE["GLACIER"]
    proxy.oddity = replace(odd, keys=at(place, partial.index_key("one", "main")))
    found = salvage.salvage(tmp_path / "store", bucket, "main", {"extract@base"})
    assert len(found.brought) == 2
    (problem,) = found.problems
    assert says in problem
    assert partial.read_index(bucket, "one", "main") is None


@pytest.mark.parametrize("name", members.few(ETAGS))
def test_an_etag_that_is_no_md5_accuses_nobody(
    study: Path, wanted: Expected, far: Expected, proxy: Proxy, place: Place, name: str
) -> None:
    proxy.oddity = ETAGS[name]
    bucket = open_bucket(study)
    assert look(study, wanted).is_whole
    parts = put_parts(study, bucket)
    assert partial.absent(parts, bucket) == []
    n_before = proxy.n_requests
    assert put_parts(study, bucket, tuple(parts)) == parts
    assert proxy.n_requests - n_before < 12
    place.remove(ONE)
    (gone,) = look(study, wanted).missing
    assert sending.send([gone], wanted, study, bucket, Deadline()).left == ()
    place.put(TWO, b"two")
    place.put(parts[0].key, b"cut short")
    assert set(lost(look(study, wanted))) == {TWO}
    assert [part for part, _ in partial.absent(parts, bucket)] == [parts[0]]
    assert set(lost(look(study, wanted, deep=True))) == {TWO}


@pytest.mark.parametrize("name", ["GLACIER", "KMS, told by HEAD", "encrypted without a word"])
@pytest.mark.slow
def test_backup_says_all_is_saved_exactly_where_all_can_be_read(
    project: Path, proxy: Proxy, place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    call(project.parent, "git", "init", "--quiet", "--bare", "there.git")
    call(project, "git", "remote", "add", "origin", str(project.parent / "there.git"))
    remote.set_default(project, place.url, proxy.endpoint)
    with (project / "dvc.yaml").open("a") as file:
        file.write(f"  extract:\n    cmd: sleep 9\n    outs: [{OUT}]\n")
    call(project, "git", "commit", "--quiet", "--all", "--message", "Extract")
    put_parts(project, open_bucket(project))
    if name == "GLACIER":
        archive(place)
        assert len(look(project, expected.read(project)).wrong) == 5
    else:
        proxy.oddity = ETAGS[name]
    for _ in range(2):
        found = backup.backup(project)
        assert proven(found), facts(found, "wrong")
    assert look(project, expected.read(project)).is_whole


def test_what_a_real_server_archives_and_restores_is_told_alike(
    study: Path, wanted: Expected, place: Place
) -> None:
    archive(place)
    assert len(look(study, wanted).wrong) == 5
    with servers.client(place.endpoint) as s3:
        for key in at(place, *place.sizes()):
            s3.restore_object(Bucket=servers.BUCKET, Key=key, RestoreRequest={"Days": 7})
    found = look(study, wanted)
    assert found.is_whole
    assert len(found.borrowed) == 5


def archive(place: Place) -> None:
    """What a lifecycle rule does to all that is there."""
    with servers.client(place.endpoint) as s3:
        for key in at(place, *place.sizes()):
            source = {"Bucket": servers.BUCKET, "Key": key}
            s3.copy_object(**source, CopySource=source, StorageClass="GLACIER")
