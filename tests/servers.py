"""Two independent S3 servers on loopback, moto and `rclone serve s3`, as real processes."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
        command += ["--force-path-style", "--dir-cache-time", "0"]
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
            server.terminate()
            server.wait(timeout=30)


@contextmanager
def client(endpoint: str) -> Iterator[Any]:
    """A client of a server, to look and to tamper with."""
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key=PHRASE,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 3}, s3={"addressing_style": "path"}),
    )
    try:
        yield s3
    finally:
        s3.close()


def keys(endpoint: str, prefix: str = "") -> dict[str, int]:
    """Sizes of all objects of the bucket by key."""
    with client(endpoint) as s3:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}


def clear(endpoint: str) -> None:
    """Empties the bucket."""
    with client(endpoint) as s3:
        for key in keys(endpoint):
            s3.delete_object(Bucket=BUCKET, Key=key)


def wait_until_listening(port: int, log: Path, seconds: float = 60) -> None:
    """Returns when something accepts connections on a port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"no server on port {port}:\n{log.read_text()}{os.linesep}")
