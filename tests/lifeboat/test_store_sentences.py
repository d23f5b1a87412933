"""What a store cannot do, it gets round; what it said reaches the user, once, with a cure."""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import faulty_proxy
import members
import pytest
import servers
from faulty_proxy import Answer, Fault, Oddity, Proxy, Request
from project import call
from repositories import facts
from servers import Place

from lifeboat.items import Item, proven
from lifeboat.remotes import remote, s3
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.saving import backup, sending

pytestmark = pytest.mark.kind(8)

N_KEYS = 5
_TOKEN = re.compile(rb"<NextContinuationToken>.*?</NextContinuationToken>")


@pytest.fixture
def between(
    project: Path, moto_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Place, Proxy]]:
    """A project whose store, which is empty, is behind a proxy."""
    for name, value in {**servers.CREDENTIALS, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sending, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    with faulty_proxy.proxy(moto_server) as running:
        place = Place("moto", f"s3://{servers.BUCKET}/{tmp_path.name}", moto_server)
        remote.set_default(project, place.url, running.endpoint)
        call(project, "git", "commit", "--quiet", "--all", "--message", "A remote")
        yield project, place, running


def without_token(_request: Request, answer: Answer) -> None:
    """Keeps to itself how a listing goes on."""
    answer.data = _TOKEN.sub(b"", answer.data)


def two_a_page(path: str) -> str:
    return f"{path}&max-keys=2" if "list-type" in path else path


def from_the_start(path: str) -> str:
    """Two a page, and whatever follows is the first page again."""
    return re.sub(r"&(start-after|continuation-token)=[^&]*", "", two_a_page(path))


def nothing_a_page(_request: Request, answer: Answer) -> None:
    """Pages without a key that say that there is more."""
    without_token(_request, answer)
    answer.data = re.sub(rb"<Contents>.*</Contents>", b"", answer.data, flags=re.DOTALL)


def for_people(_request: Request, answer: Answer) -> None:
    """A page of a proxy between, which wants to be signed in to."""
    answer.data = b"<html><body>Sign in</body></html>"


LISTINGS: dict[str, tuple[Oddity | None, Callable[[str], str], bool]] = {
    "cut off without a token": (without_token, two_a_page, True),
    "pages of two": (None, two_a_page, True),
    "without a token, and StartAfter is not known": (without_token, from_the_start, False),
    "the same page for ever": (None, from_the_start, False),
    "empty pages without end": (nothing_a_page, two_a_page, False),
    "a page for people": (for_people, str, False),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_is_whole_or_said_not_to_be(
    between: tuple[Path, Place, Proxy], name: str
) -> None:
    root, place, proxy = between
    for number in range(N_KEYS):
        place.put(f"files/md5/{number}", b"x")
    oddity, asked, is_whole = LISTINGS[name]
    bucket = open_bucket(root)
    proxy.oddity, proxy.asked = oddity, asked
    if is_whole:
        assert len(list(bucket.list("files/"))) == N_KEYS
        return
    with pytest.raises(StoreError, match="cannot be listed to the end") as caught:
        list(bucket.list(""))
    assert "lifeboat remote set URL" in str(caught.value)
    assert proxy.n_requests < N_KEYS + 3


def wants(*names: str) -> Callable[[Request], bool]:
    """Hits uploads that have none of some headers."""

    def hits(request: Request) -> bool:
        has = any(name.startswith(names) for name in request.headers)
        return faulty_proxy.uploads(request) and not has

    return hits


def has_crc(request: Request) -> bool:
    """Hits uploads with one of the newer checksums."""
    return faulty_proxy.uploads(request) and "x-amz-checksum-crc32" in request.headers


_LOCK = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with"
_NEW = "Unsupported header 'x-amz-checksum-crc32' received for this API call."
ONLY_NEW = wants("x-amz-checksum-")
CHECKSUMS: dict[str, tuple[str, Fault, bool]] = {
    "Object Lock, when_required": (
        "when_required",
        Fault("answer", "InvalidRequest", 400, said=_LOCK, hits=wants("content-md5")),
        True,
    ),
    "Object Lock, when_supported": (
        "when_supported",
        Fault(
            "answer", "InvalidRequest", 400, said=_LOCK, hits=wants("content-md5", "x-amz-checksum")
        ),
        True,
    ),
    "newer checksums refused, when_required": (
        "when_required",
        Fault("answer", "InvalidArgument", 400, said=_NEW, hits=has_crc),
        True,
    ),
    "newer checksums refused, when_supported": (
        "when_supported",
        Fault("answer", "InvalidArgument", 400, said=_NEW, hits=has_crc),
        False,
    ),
    "newer checksums asked for, when_required": (
        "when_required",
        Fault("answer", "InvalidRequest", 400, said=_LOCK, hits=ONLY_NEW),
        False,
    ),
}


def many(root: Path) -> None:
    """Forty more objects, and parts of a stage that has not finished."""
    folder = root / "data" / "raw" / "many"
    folder.mkdir()
    for number in range(40):
        (folder / str(number)).write_text(f"{number}\n")
    call(root, "dvc", "add", "--quiet", str(folder))
    out = "data/interim/activations/base"
    with (root / "dvc.yaml").open("a") as file:
        file.write(f"  extract:\n    cmd: sleep 9\n    outs: [{out}]\n")
    for number in range(20):
        data = b"%d" % number
        name = f"{'ab' * 32}.{hashlib.sha256(data).hexdigest()}.safetensors"
        path = root / ".cache" / "store" / out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    call(root, "git", "add", "--all")
    call(root, "git", "commit", "--quiet", "--message", "Many")
    call(root.parent, "git", "init", "--quiet", "--bare", "there.git")
    call(root, "git", "remote", "add", "origin", str(root.parent / "there.git"))


def wrong(found: list[Item]) -> list[Item]:
    return [item for item in found if item.verdict == "wrong"]


@pytest.mark.parametrize("name", members.few(CHECKSUMS, 0))
def test_a_store_and_its_checksums_agree_or_one_line_tells_the_setting(
    between: tuple[Path, Place, Proxy], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _place, proxy = between
    setting, fault, is_fine = CHECKSUMS[name]
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", setting)
    many(root)
    with proxy.breaking(fault):
        found = backup.backup(root)
    assert proven(found) == is_fine, facts(found, "wrong")
    if is_fine:
        assert proxy.n_hit == 0
        return
    said = [f"{item.fact} {item.cure}" for item in wrong(found)]
    assert len(said) == 3, said
    assert sum(" objects of `data/raw/many.dvc`" in line for line in said) == 1
    assert all("AWS_REQUEST_CHECKSUM_CALCULATION in .env" in line for line in said)


def test_every_upload_has_a_hash_that_the_store_compares(
    between: tuple[Path, Place, Proxy], tmp_path: Path
) -> None:
    root, place, proxy = between
    (tmp_path / "large").write_bytes(bytes(101 * 2**20))
    bucket: Bucket = open_bucket(root)
    assert isinstance(bucket, s3.S3)
    with proxy.breaking(
        Fault("answer", "InvalidRequest", 400, said=_LOCK, hits=wants("content-md5"))
    ):
        bucket.write("small", b"x")
        stored = bucket.put(tmp_path / "large", "large")
    assert stored.etag is not None
    assert stored.etag.endswith("-3")
    assert proxy.n_hit == 0
    assert place.sizes() == {"small": 1, "large": 101 * 2**20}
