"""A server on loopback that answers for a model's files as the hub does: headers alone."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN, GATED = "lab/open", "lab/gated"


class HubService(ThreadingHTTPServer):
    """One open model and one gated, each with one commit.

    Attributes:
        granted: tokens that may read the gated model.
        asked: (method, path) of every request.
        broken: while set, every request is answered 503.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.granted: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.broken = False
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> "HubService":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    @property
    def service(self) -> HubService:
        assert isinstance(self.server, HubService)
        return self.server

    def do_HEAD(self) -> None:
        self.service.asked.append((self.command, self.path))
        model, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision = rest.partition("/")[0]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.service.broken:
            self._answer(503, None)
        elif model not in (OPEN, GATED):
            self._answer(404 if token else 401, "RepoNotFound")
        elif model == GATED and token not in self.service.granted:
            self._answer(403 if token else 401, "GatedRepo")
        elif revision not in ("main", COMMIT):
            self._answer(404, "RevisionNotFound")
        else:
            self._answer(200, None)

    def _answer(self, status: int, code: str | None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if status == 200:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""
