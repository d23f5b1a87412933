"""S3, and what speaks it: listings, storage classes, hashes that are none, and checksums."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from lifeboat.remotes import store_errors
from lifeboat.remotes.plain import ObjectStore
from lifeboat.remotes.store_errors import StoreError
from lifeboat.remotes.stored import Stored, tier, written_at

CHUNK = 16 * 2**20
_MD5 = re.compile(r"[0-9a-f]{32}")
_OF_PARTS = re.compile(r"[0-9a-f]{32}-\d+")
_BY_ITSELF = "INTELLIGENT_TIERING"
_ENDS = re.compile(r'expiry-date="([^"]+)"')


class S3(ObjectStore):
    """S3, and what speaks it.

    Every object is sent with a hash: botocore's, or where `.env` turns that off, its MD5, which
    every store takes and which one with Object Lock wants.
    """

    def __init__(self, url: str, path: str, fs: Any) -> None:
        super().__init__(url, path, fs)
        with store_errors.readable(url):
            _send_hashes(self._inner)

    def list(self, prefix: str) -> Iterator[Stored]:
        """As `Bucket.list`, a page of a thousand at a time."""
        name, _, start = self._at(prefix.rstrip("/")).lstrip("/").partition("/")
        asked, last = {"Bucket": name, "Prefix": f"{start}/" if start else ""}, ""
        with store_errors.readable(self._told(prefix)):
            while True:
                page = self._inner.call_s3("list_objects_v2", **asked)
                if page.keys() <= {"ResponseMetadata"}:
                    said = "the answer is none: a page for people, of a proxy between?"
                    raise StoreError("listing", self._told(prefix), said)
                keys = [str(entry["Key"]) for entry in page.get("Contents", [])]
                for key, entry in zip(keys, page.get("Contents", []), strict=True):
                    yield self._stored(self._key(f"{name}/{key}"), entry)
                if not page.get("IsTruncated"):
                    return
                asked, last = self._next(asked, page, last, keys)

    def _next(
        self, asked: dict[str, str], page: dict[str, Any], last: str, keys: Sequence[str]
    ) -> tuple[dict[str, str], str]:
        """What asks for the page after this one, and its last key; some stores give no token."""
        token = page.get("NextContinuationToken")
        if not keys and not token or keys and keys[-1] <= last:
            said = f"it was cut off after {last!r}, and the store does not go on from there"
            raise StoreError("listing", self._told(""), said)
        last = keys[-1] if keys else last
        where = {"ContinuationToken": token} if token else {"StartAfter": last}
        return {"Bucket": asked["Bucket"], "Prefix": asked["Prefix"], **where}, last

    def is_sure(self, stored: Stored) -> bool:
        """Whether no doubt is left; a hash of parts is no hash of the content."""
        return super().is_sure(stored) and not _OF_PARTS.fullmatch(stored.etag or "")

    def require_open(self, stored: Stored) -> str:
        """As `Bucket.require_open`; of what moves between tiers by itself the store is asked."""
        if stored.tier == _BY_ITSELF and not self._head(stored.key).get("ArchiveStatus"):
            return ""  # and is not moved back among what is used, which costs
        super().require_open(stored)
        if not stored.tier:
            return ""
        ends = _ENDS.search(str(self._head(stored.key).get("Restore", "")))
        return ends[1] if ends else ""

    @contextmanager
    def _about(self, key: str) -> Iterator[None]:
        """As there; of what is archived the store is asked whether it is on its way out."""
        try:
            with super()._about(key):
                yield
        except StoreError as error:
            if error.kind == "archived":
                said = str(self._head(key).get("Restore", ""))
                if 'ongoing-request="true"' in said:
                    raise StoreError("being restored", self._told(key), said) from error
            raise

    def _head(self, key: str) -> dict[str, Any]:
        with store_errors.readable(self._told(key)):
            return self._info(key)

    def _info(self, key: str) -> dict[str, Any]:
        name, _, rest = self._at(key).lstrip("/").partition("/")
        head = self._inner.call_s3("head_object", Bucket=name, Key=rest)
        return {**head, "Size": head["ContentLength"], "type": "file"}

    def _open(self, key: str) -> Any:
        return self._inner.open(self._at(key), "rb", block_size=CHUNK, cache_type="readahead")

    def _stored(self, key: str, info: dict[str, Any]) -> Stored:
        etag = str(info.get("ETag") or "").strip('"').lower() or None
        keyed = "kms" in str(info.get("ServerSideEncryption", "")) or info.get("SSECustomerKeyMD5")
        md5 = etag if etag and _MD5.fullmatch(etag) and not keyed else None
        return Stored(key, int(info["Size"]), md5, etag, written_at(info), tier(info))


def _send_hashes(fs: Any) -> None:
    """Lets an S3 client, and one that follows it, send an MD5 where it sends no other hash."""
    for events in (fs.session, fs.s3.meta.events):
        for operation in ("PutObject", "UploadPart"):
            name = f"before-call.s3.{operation}"
            events.register(name, _with_md5, unique_id=f"lifeboat.{operation}")


def _with_md5(params: dict[str, Any], **_kwargs: Any) -> None:
    body = params.get("body")
    has_hash = params["context"].get("checksum", {}).get("request_algorithm")
    if isinstance(body, BytesIO) and not has_hash:
        digest = hashlib.md5(body.getbuffer(), usedforsecurity=False).digest()
        params["headers"].setdefault("Content-MD5", base64.b64encode(digest).decode())
