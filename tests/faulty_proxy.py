"""A proxy on loopback between our verbs and an S3 server, which breaks what it is told to break.

It hands requests on as they are, their Host header too, so that signatures hold.
"""

import http.client
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Manner = Literal["answer", "cut upload", "cut download", "lose answer", "stall"]
WRITES = ("PUT", "POST", "DELETE")


@dataclass(frozen=True)
class Request:
    """What a fault is chosen by.

    Attributes:
        method: of HTTP.
        path: with the query.
        n_bytes: of the body.
        headers: of the request, their names in small letters.
    """

    method: str
    path: str
    n_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_object(self) -> bool:
        """Whether it is about one object, and not a listing of the bucket."""
        return urlsplit(self.path).path.strip("/").count("/") > 0


@dataclass
class Answer:
    """What a server said, which an odd store says otherwise.

    Attributes:
        status: of HTTP.
        headers: their names in small letters.
        data: the body.
    """

    status: int
    headers: dict[str, str]
    data: bytes


Oddity = Callable[[Request, Answer], None]
"""Changes what a server said to what an odd store says."""


@dataclass(frozen=True)
class Fault:
    """One way of going wrong.

    Attributes:
        manner: `answer` with an error instead of asking the server; `cut upload` or `cut download`
            in the middle of an object; `lose answer`, after the server has done it; `stall`.
        code: of an error in S3's words.
        status: of an error in HTTP's words.
        said: the sentence of an error.
        hits: which requests; all of them without it.
        share: of those, how many are hit.
        times: how many are hit at most; no limit without it.
    """

    manner: Manner
    code: str = ""
    status: int = 0
    said: str = "said by a test"
    hits: Callable[[Request], bool] = lambda _request: True
    share: float = 1.0
    times: int | None = None


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
        endpoint: its address.
        fault: what it does at the moment, if anything.
        oddity: how the store behind it differs from others, if it does.
        asked: what it makes of a request's path and query, if anything.
        n_requests: requests that came.
        n_hit: requests that were broken.
    """

    endpoint: str = ""
    fault: Fault | None = None
    oddity: Oddity | None = None
    asked: Callable[[str], str] | None = None
    n_requests: int = 0
    n_hit: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(0))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def breaking(self, fault: Fault) -> Iterator[None]:
        """Goes wrong in one way until the end of the block."""
        self.fault, self.n_hit, self.n_requests = fault, 0, 0
        try:
            yield
        finally:
            self.fault = None

    def chosen(self, request: Request) -> Fault | None:
        """The fault that a request meets, if any."""
        with self._lock:
            self.n_requests += 1
            fault = self.fault
            if fault is None or not fault.hits(request):
                return None
            if fault.times is not None and self.n_hit >= fault.times:
                return None
            if self._chance.random() >= fault.share:
                return None
            self.n_hit += 1
            return fault


@contextmanager
def proxy(upstream: str, stall_s: float = 3.0) -> Iterator[Proxy]:
    """A proxy in front of a server; `stall_s` is how long it keeps a client waiting."""
    running = Proxy()
    server = _Server(("127.0.0.1", 0), _handler(running, upstream, stall_s))
    running.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(running: Proxy, upstream: str, stall_s: float) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            n_bytes = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, n_bytes, headers)
            fault = running.chosen(request)
            if fault is not None and fault.manner == "cut upload":
                self.rfile.read(n_bytes // 2)
                self._hang_up()
                return
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            body = self._body(n_bytes)
            if len(body) < n_bytes:  # the client is gone; a server would not take a half either
                self._hang_up()
                return
            if fault is not None and fault.manner == "stall":
                time.sleep(stall_s)
                self._hang_up()
            elif fault is not None and fault.manner == "answer":
                self._refuse(fault)
            else:
                self._hand_on(request, body, fault)

        def _body(self, n_bytes: int) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(n_bytes)
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _hand_on(self, request: Request, body: bytes, fault: Fault | None) -> None:
            connection = http.client.HTTPConnection(address, timeout=60)
            dropped = ["transfer-encoding", "content-length", "expect"]
            dropped += ["if-match"] if running.oddity else []  # it may be about another ETag
            try:
                path = running.asked(self.path) if running.asked is not None else self.path
                connection.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in dropped:
                        connection.putheader(name, value)
                connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
                answer = connection.getresponse()
                data = answer.read()
            finally:
                connection.close()
            if fault is not None and fault.manner == "lose answer":
                self._hang_up()
                return
            headers = {name.lower(): value for name, value in answer.headers.items()}
            told = Answer(answer.status, headers, data)
            if running.oddity is not None:
                running.oddity(request, told)
            self._answer(told, fault)

        def _answer(self, answer: Answer, fault: Fault | None) -> None:
            data = answer.data
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.headers.get("content-length") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            if fault is not None and fault.manner == "cut download":
                self.wfile.write(data[: len(data) // 2])
                self._hang_up()
            elif self.command != "HEAD":
                self.wfile.write(data)

        def _refuse(self, fault: Fault) -> None:
            text = (
                f"<?xml version='1.0'?><Error><Code>{fault.code}</Code>"
                f"<Message>{fault.said}</Message><Resource>{urlsplit(self.path).path}</Resource>"
                "<RequestId>0</RequestId></Error>"
            )
            data = b"" if self.command == "HEAD" else text.encode()
            self.send_response_only(fault.status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _hang_up(self) -> None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.close()

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, ValueError, http.client.HTTPException):
                self.close_connection = True

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    return Handler


def every(n: int) -> Callable[[Request], bool]:
    """Hits every n-th request about an object."""
    counter = itertools.count(1)
    return lambda request: request.is_object and next(counter) % n == 0


def writes(request: Request) -> bool:
    """Hits what would change the bucket."""
    return request.method in WRITES


def uploads(request: Request) -> bool:
    """Hits an object or a part that is sent."""
    return request.method == "PUT" and request.is_object


def downloads(request: Request) -> bool:
    """Hits an object that is fetched."""
    return request.method == "GET" and request.is_object
