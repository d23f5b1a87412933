import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from servers import free_port

from lifeboat.deadlines import Deadline
from lifeboat.doctor import clock
from lifeboat.remotes.remote import Remote


class _Server(HTTPServer):
    ahead_s: float | None = 0.0
    status = 403


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        assert isinstance(self.server, _Server)
        self.send_response_only(self.server.status)
        if self.server.ahead_s is not None:
            self.send_header("Date", formatdate(time.time() + self.server.ahead_s, usegmt=True))
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serve(ahead_s: float | None, status: int = 403) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.ahead_s, server.status = ahead_s, status
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "said"),
    [
        (0.0, "ok", "agrees with 127.0.0.1 within"),
        (200.0, "warning", "s behind 127.0.0.1"),
        (-200.0, "warning", "s ahead of 127.0.0.1"),
        (-2000.0, "wrong", "signed requests are refused"),
        (None, "ok", "was not compared: 127.0.0.1 sent no time"),
    ],
)
def test_the_clock_is_compared_with_the_date_of_the_answer(
    ahead_s: float | None, verdict: str, said: str
) -> None:
    with serve(ahead_s) as address:
        item = clock.item(address, Deadline.after(5))
    assert item.verdict == verdict
    assert said in item.fact
    assert bool(item.cure) == (verdict != "ok")


@pytest.mark.parametrize("status", [200, 301, 500])
def test_any_status_has_a_date_and_no_redirect_is_followed(status: int) -> None:
    with serve(-300.0, status) as address:
        assert clock.item(address, Deadline.after(5)).verdict == "warning"


def test_a_server_that_is_not_there_has_no_clock() -> None:
    item = clock.item(f"http://127.0.0.1:{free_port()}/", Deadline.after(5))
    assert item.verdict == "ok"
    assert "was not compared" in item.fact


@pytest.mark.parametrize(
    ("remote", "git_url", "expected"),
    [
        (Remote("a", "s3://b", "http://host:9000"), "", "http://host:9000/"),
        (Remote("a", "s3://b/c"), "https://git.host/x", "https://s3.amazonaws.com/"),
        (Remote("a", "gs://b"), "", "https://storage.googleapis.com/"),
        (Remote("a", "/folder"), "https://me@git.host/x.git", "https://git.host/"),
        (Remote("a", "ssh://host/x"), "git@git.host:x.git", ""),
        (None, "", ""),
    ],
)
def test_the_place_of_the_data_is_asked_first(
    remote: Remote | None, git_url: str, expected: str
) -> None:
    assert clock.server(remote, git_url) == expected
