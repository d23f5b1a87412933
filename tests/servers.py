"""Two independent S3 servers on loopback, moto and `rclone serve s3`, as real processes."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from project import BIN, environment

ACCOUNT, PHRASE = "A" * 20, "loopback" * 5
BUCKET = "study"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCOUNT,
    "AWS_SECRET_ACCESS_KEY": PHRASE,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
KINDS = ("moto", "rclone")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(kind: str, folder: Path) -> Iterator[str]:
    """The address of a running server with the empty bucket `study`.

    Args:
        kind: `moto` or `rclone`.
        folder: for its log, and for rclone's objects (`served/`).
    """
    port = free_port()
    command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    if kind == "rclone":
        (folder / "served").mkdir()
        command = [str(BIN / "rclone"), "serve", "s3", str(folder / "served")]
        command += ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCOUNT},{PHRASE}"]
        command += ["--force-path-style"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment(HOME=str(folder))
        )
        try:
            wait_until_listening(port, folder / "server.log")
            with client(f"http://127.0.0.1:{port}") as s3:
                s3.create_bucket(Bucket=BUCKET)
            yield f"http://127.0.0.1:{port}"
        finally:
            if (looking := _LOOKING.pop(f"http://127.0.0.1:{port}", None)) is not None:
                looking.close()
            server.terminate()
            server.wait(timeout=30)


@contextmanager
def client(endpoint: str) -> Iterator[Any]:
    """A client of a server, to look and to tamper with."""
    s3 = _client(endpoint)
    try:
        yield s3
    finally:
        s3.close()


def _client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key=PHRASE,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 3}, s3={"addressing_style": "path"}),
    )


_LOOKING: dict[str, Any] = {}


def _looking(endpoint: str) -> Any:
    """The one client of a server by which `Place` looks: five times as long to make as to ask."""
    if endpoint not in _LOOKING:
        _LOOKING[endpoint] = _client(endpoint)
    return _LOOKING[endpoint]


def keys(endpoint: str, prefix: str = "") -> dict[str, int]:
    """Sizes of all objects of the bucket by key."""
    pages = _looking(endpoint).get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=BUCKET, Prefix=prefix)
    return {o["Key"]: o["Size"] for page in found for o in page.get("Contents", [])}


def wait_until_listening(port: int, log: Path, seconds: float = 60) -> None:
    """Returns when something accepts connections on a port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"no server on port {port}:\n{log.read_text()}{os.linesep}")


@dataclass(frozen=True)
class Place:
    """A remote that a test can look into and tamper with, past the code under test.

    Attributes:
        kind: `folder`, `moto` or `rclone`.
        url: of the DVC remote.
        endpoint: of the server, empty for a folder.
    """

    kind: str
    url: str
    endpoint: str = ""

    def sizes(self) -> dict[str, int]:
        """Sizes of all objects by key."""
        if self.kind == "folder":
            files = [path for path in Path(self.url).rglob("*") if path.is_file()]
            return {f.relative_to(self.url).as_posix(): f.stat().st_size for f in files}
        prefix = f"{self._prefix}/"
        return {key.removeprefix(prefix): n for key, n in keys(self.endpoint, prefix).items()}

    def put(self, key: str, data: bytes) -> None:
        """Puts an object, or another in its place."""
        if self.kind == "folder":
            path = Path(self.url) / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            return
        _looking(self.endpoint).put_object(Bucket=BUCKET, Key=f"{self._prefix}/{key}", Body=data)

    def get(self, key: str) -> bytes:
        """The bytes of an object."""
        if self.kind == "folder":
            return (Path(self.url) / key).read_bytes()
        answer = _looking(self.endpoint).get_object(Bucket=BUCKET, Key=f"{self._prefix}/{key}")
        with answer["Body"] as body:
            return body.read()

    def remove(self, key: str) -> None:
        """Removes an object."""
        if self.kind == "folder":
            (Path(self.url) / key).unlink()
            return
        _looking(self.endpoint).delete_object(Bucket=BUCKET, Key=f"{self._prefix}/{key}")

    def fill(self, cache: Path) -> None:
        """Puts every object of a DVC cache, as a push that went well."""
        for path in (cache / "files").rglob("*"):
            if path.is_file():
                self.put(path.relative_to(cache).as_posix(), path.read_bytes())

    @property
    def _prefix(self) -> str:
        return self.url.removeprefix(f"s3://{BUCKET}/")
