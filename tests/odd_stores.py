"""S3 stores that differ from the plain one, as what a proxy makes of a plain one's answers."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from faulty_proxy import Answer, Oddity, Request

_ETAG = re.compile(rb'(?:"|&quot;)([0-9a-f]{32})(?:"|&quot;)')


@dataclass
class Odd:
    """A store that treats some objects differently until somebody puts them there again.

    Attributes:
        on_head: headers that a HEAD of them gets, beside that of its class.
        on_list: their storage class, as a listing and a HEAD say it.
        refusal: status, code and sentence of what a GET of them gets; none where it is read.
        keys: the objects, by their keys in the bucket.
    """

    on_head: dict[str, str] = field(default_factory=dict)
    on_list: str = ""
    refusal: tuple[int, str, str] | None = None
    keys: set[str] = field(default_factory=set)

    def __call__(self, request: Request, answer: Answer) -> None:
        key = unquote(urlsplit(request.path).path).partition("/")[2].partition("/")[2]
        if request.method == "PUT" and answer.status == 200:
            self.keys.discard(key)
        elif request.method == "HEAD" and key in self.keys:
            tier = {"x-amz-storage-class": self.on_list} if self.on_list else {}
            answer.headers.update(tier | self.on_head)
        elif request.method == "GET" and key in self.keys and self.refusal:
            answer.status, code, said = self.refusal
            answer.headers["content-type"] = "application/xml"
            text = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>"
            answer.data = text.encode()
        elif request.method == "GET" and not request.is_object and self.on_list:
            answer.data = self._listed(answer.data)

    def _listed(self, data: bytes) -> bytes:
        for key in self.keys:
            start = data.find(f"<Key>{key}</Key>".encode())
            end = data.find(b"</Contents>", start)
            if start >= 0:
                entry = data[start:end].replace(b">STANDARD<", f">{self.on_list}<".encode())
                data = data[:start] + entry + data[end:]
        return data


def etags(change: Callable[[str], str], on_head: dict[str, str] | None = None) -> Oddity:
    """A store with other ETags everywhere, and further headers where one asks for an object."""

    def changed(found: re.Match[bytes]) -> bytes:
        return change(found[1].decode()).encode()

    def oddity(request: Request, answer: Answer) -> None:
        if "etag" in answer.headers:
            told = change(answer.headers["etag"].strip('"'))
            answer.headers["etag"] = told
            if not told:
                del answer.headers["etag"]
        if request.method == "GET" and not request.is_object:
            answer.data = _ETAG.sub(changed, answer.data)
        if request.method in ("HEAD", "PUT") and request.is_object:
            answer.headers.update(on_head or {})

    return oddity


def of_something_else(etag: str) -> str:
    """An ETag that looks like an MD5 and is none."""
    return f'"{hashlib.md5(b"x" + etag.encode()).hexdigest()}"'
