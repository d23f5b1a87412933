"""A judge on loopback: a real HTTP server that answers as an OpenAI-compatible one does."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]


class Server:
    """What a server was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []


@contextmanager
def serving(
    reply: Callable[[dict[str, Any], int], Reply], path: str = "/v1/chat/completions"
) -> Iterator[Server]:
    """A server that answers by a function of the request and of how many there were."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.bodies.append(body)
            server.keys.append(self.headers.get("Authorization"))
            status, value = reply(body, len(server.bodies))
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status if self.path == path else 404)
            if status in (301, 302):
                self.send_header("Location", f"{server.url}/elsewhere")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{httpd.server_address[1]}/v1")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def completion(text: str, usage: dict[str, int] | None = None) -> dict[str, Any]:
    """A chat completion."""
    return {"choices": [{"message": {"content": text}}], **({"usage": usage} if usage else {})}


def labelling(body: dict[str, Any], _number: int) -> Reply:
    """Calls backtracking what has "wrong" in it, as a judge would."""
    asked = body["messages"][1]["content"].split("To be labelled:\n")[1].split("\n")
    lines = (line.split(": ", 1) for line in asked)
    said = (f"{n}: {'backtracking' if 'wrong' in text else 'deduction'}" for n, text in lines)
    return 200, completion("\n".join(said), {"prompt_tokens": 1000, "completion_tokens": 100})
