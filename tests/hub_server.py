"""A server on loopback that speaks the endpoints of the Hugging Face Hub that fetching asks for.

`tree`, `revision`, `resolve` with ranges, 401 and 403 of gated repositories, another host for large
files, and a connection that breaks after so many bytes.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 4096
"""Bytes from which a file is kept as a large one, with its SHA-256."""


@dataclass
class Hub:
    """One repository, and what went over the wire.

    Attributes:
        hub_id: of the repository.
        files: its files.
        token: that opens it; empty for an open one.
        breaks_after: bytes of a large file after which a connection breaks, once for each number.
        holds_after: bytes of a larger file after which a connection falls silent; 0 for none.
        beside: further repositories with the same files, each with the token that opens it.
        is_broken: whether it answers 503 to everything.
        lies: whether it lists other hashes than those of its files.
        asked: requests so far: method, path, and the range that was asked for.
        seen: tokens that the other host was shown.
        address: of the server.
    """

    hub_id: str
    files: dict[str, bytes]
    token: str = ""
    breaks_after: list[int] = field(default_factory=list)
    holds_after: int = 0
    beside: dict[str, str] = field(default_factory=dict)
    is_broken: bool = False
    lies: bool = False
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    address: str = ""
    elsewhere: str = ""

    @classmethod
    def of_folder(cls, folder: Path, hub_id: str = "lab/tiny") -> "Hub":
        """With the files of a folder."""
        return cls(hub_id, {path.name: path.read_bytes() for path in sorted(folder.iterdir())})

    def sha256(self, name: str) -> str:
        """What it lists as the hash of a large file."""
        lie = b"another" if self.lies else b""
        return hashlib.sha256(self.files[name] + lie).hexdigest()

    def tree(self) -> list[dict[str, object]]:
        """The listing of its files."""
        found = []
        for name, data in self.files.items():
            entry: dict[str, object] = {"type": "file", "path": name, "size": len(data)}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if len(data) >= LARGE:
                entry["lfs"] = {"oid": self.sha256(name), "size": len(data), "pointerSize": 130}
            found.append(entry)
        return found

    def fetched(self) -> list[str]:
        """Names of the files whose bytes were asked for, in order, each once."""
        gets = [path for method, path, _ in self.asked if method == "GET" and "/resolve/" in path]
        return list(dict.fromkeys(path.rpartition("/")[2] for path in gets))


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, and the other host from which it sends large files, while the context is open."""
    servers = []
    for is_other in (False, True):
        handler = type("Handler", (_Handler,), {"hub": hub, "is_other": is_other})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    hub.address = f"http://127.0.0.1:{servers[0].server_address[1]}"
    hub.elsewhere = f"http://localhost:{servers[1].server_address[1]}"
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    is_other: bool
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append((self.command, path, self.headers.get("Range", "")))
        shown = self.headers.get("Authorization", "")
        if self.is_other:
            self.hub.seen.append(shown)
            return self._bytes(path.rpartition("/")[2])
        if self.hub.is_broken:
            return self._refuse(503, "")
        opened = {self.hub.hub_id: self.hub.token, **self.hub.beside}
        asked = path.removeprefix("/api/models").split("/")
        hub_id = "/".join(asked[1:3])
        token = opened.get(hub_id, self.hub.token)
        api = f"/api/models/{hub_id}"
        if token and shown != f"Bearer {token}" and "/resolve/" in path:
            return self._refuse(403 if shown else 401, "GatedRepo")
        if hub_id not in opened:
            return self._refuse(404, "RepoNotFound")
        if path == f"{api}/tree/{COMMIT}":
            return self._json(self.hub.tree())
        if path in (api, f"{api}/revision/{COMMIT}", f"{api}/revision/main"):
            return self._json({"id": hub_id, "sha": COMMIT})
        places = tuple(f"/{hub_id}/resolve/{one}/" for one in (COMMIT, "main"))
        place = next((one for one in places if path.startswith(one)), "")
        if not place:
            return self._refuse(404, "RevisionNotFound")
        name = path.removeprefix(place)
        if name not in self.hub.files:
            return self._refuse(404, "EntryNotFound")
        if len(self.hub.files[name]) >= LARGE:
            return self._elsewhere(name)
        return self._bytes(name)

    def _elsewhere(self, name: str) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.hub.elsewhere}/{name}")
        self.send_header("X-Linked-Etag", f'"{self.hub.sha256(name)}"')
        self.send_header("X-Linked-Size", str(len(self.hub.files[name])))
        self._finish(b"")

    def _bytes(self, name: str) -> None:
        data = self.hub.files[name]
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("ETag", f'"{hashlib.sha1(b"blob %d" % len(data) + data).hexdigest()}"')
        rest, breaks = data[first:], self.is_other and self.hub.breaks_after
        if self.is_other and 0 < self.hub.holds_after < len(rest):
            return self._hold(rest)
        if not breaks:
            return self._finish(rest)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.hub.breaks_after.pop(0)])
        self.close_connection = True

    def _hold(self, rest: bytes) -> None:
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.hub.holds_after])
        self.wfile.flush()
        while self.hub.holds_after:
            time.sleep(0.01)
        self.close_connection = True

    def _json(self, value: object) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self._finish(json.dumps(value).encode())

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self._finish(b"")

    def _finish(self, body: bytes) -> None:
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
