"""A server on loopback that speaks as the metadata services of AWS (IMDSv2), GCP and Azure do."""

import json
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ACTION = "/latest/meta-data/spot/instance-action"

ANSWERS = {
    "/computeMetadata/v1/instance/preempted": ("Metadata-Flavor", "Google", "preempted"),
    "/metadata/scheduledevents?api-version=2020-07-01": ("Metadata", "true", "events"),
    "/metadata/instance/compute/name?api-version=2021-02-01&format=text": (
        "Metadata", "true", "machine"
    ),
}  # fmt: skip
"""Of GCP and Azure: header and value that a question needs, and what answers it."""


class MetadataService(ThreadingHTTPServer):
    """Tokens by PUT with a time to live; the instance action is 404 until `give_notice`.

    Attributes:
        asked: (method, status) of every request.
        broken: while set, every request is answered 500.
        longest_life_s: tokens live no longer, whatever was asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, int]] = []
        self.broken = False
        self.longest_life_s = 21600.0
        self.body: bytes | None = None
        self.preempted, self.machine, self.events = b"FALSE", b"vm-1", b'{"Events": []}'
        self.end_by_token: dict[str, float] = {}
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> "MetadataService":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def give_notice(self, seconds: float = 120.0) -> None:
        """From now on the instance is to be terminated so many seconds from now."""
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        value = {"action": "terminate", "time": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        self.body = json.dumps(value).encode()


class _Handler(BaseHTTPRequestHandler):
    @property
    def service(self) -> MetadataService:
        assert isinstance(self.server, MetadataService)
        return self.server

    def do_PUT(self) -> None:
        life = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.service.broken:
            self._answer(500)
        elif self.path != "/latest/api/token":
            self._answer(404)
        elif not life.isdigit() or not 1 <= int(life) <= 21600:
            self._answer(400)
        else:
            token = secrets.token_urlsafe(40)
            seconds = min(int(life), self.service.longest_life_s)
            self.service.end_by_token[token] = time.monotonic() + seconds
            self._answer(200, token.encode())

    def do_GET(self) -> None:
        token = self.headers.get("X-aws-ec2-metadata-token", "")
        if self.service.broken:
            self._answer(500)
        elif self.path in ANSWERS:
            header, value, attribute = ANSWERS[self.path]
            if self.headers.get(header) == value:
                self._answer(200, getattr(self.service, attribute))
            else:
                self._answer(403)
        elif self.service.end_by_token.get(token, 0.0) < time.monotonic():
            self._answer(401)
        elif self.path != ACTION or self.service.body is None:
            self._answer(404)
        else:
            self._answer(200, self.service.body)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.service.asked.append((self.command, status))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""
