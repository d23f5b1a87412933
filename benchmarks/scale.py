"""What grows with the number of things: units, rows of manifests, keys of a remote, files of DVC.

    .venv/bin/python benchmarks/scale.py --file

Each row is measured in a process of its own, in a temporary folder: how many things, how many a
second, and by how much the peak of resident memory rose. docs/scale.md is written from the table.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from backtracking.activations.format import Positions, Shard
from backtracking.activations.manifest import Check, Manifest, read_manifest, write_manifest
from lifeboat.proof import manifests
from lifeboat.remotes.bucket import open_bucket
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units

Work = Callable[[], object]

_RECORD = "0" * 64


def _oid(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}"


def units_made(root: Path, n: int) -> Work:
    """Units of a hundred numbers, each made."""

    def work() -> None:
        units = Units(root, ("backtracking", "lifeboat"))
        for number in range(n):
            units.get("data/x", f"{number:064x}", lambda: [0.5] * 100)

    return work


def units_found(root: Path, n: int) -> Work:
    """The same units by a process that has not made them."""
    _in_process("units_made", root, n)
    return units_made(root, n)


def units_added(root: Path, n: int) -> Work:
    """A hundred units, made where there are `n` already."""
    folder = root / ".cache" / "store" / "data" / "x"
    folder.mkdir(parents=True)
    for number in range(n):
        (folder / f"{number + 2**40:064x}.{_RECORD}.safetensors").touch()
    return units_made(root, 100)


def manifest_written(root: Path, n: int) -> Work:
    """The manifest of an activation store of `n` shards."""
    rows = [Shard(f"{one:064x}", f"{one:064x}.safetensors", _RECORD, 1, 1) for one in range(n)]
    check = Check(1, 1, 0.0, 0.0, 1e-5, "cpu", "sdpa", "float32")
    head = ("resid_post", (0,), Positions(None), "float32", 1, "", "", check)
    return partial(write_manifest, root, Manifest(*head, units=tuple(rows), complete=True))


def manifest_read(root: Path, n: int) -> Work:
    """The same, read with distrust."""
    _in_process("manifest_written", root, n)
    return partial(read_manifest, root)


def dir_object_read(_root: Path, n: int) -> Work:
    """DVC's list of a folder of `n` files, read with distrust."""
    data = json.dumps([{"md5": _oid(one), "relpath": f"{one:07}"} for one in range(n)]).encode()
    return lambda: manifests.entries("0.dir", data)


def folder_listed(root: Path, n: int) -> Work:
    """The keys of a folder remote, one after the other."""
    _remote(root, f"{root}/remote")
    for number in range(n):
        at = root / "remote" / manifests.key(_oid(number))
        at.parent.mkdir(parents=True, exist_ok=True)
        at.touch()
    bucket = open_bucket(root)
    return lambda: sum(1 for _ in bucket.list("files/md5/"))


def s3_listed(root: Path, n: int) -> Work:
    """The keys of an S3 remote whose pages of a thousand are made up and not sent."""
    _remote(root, "s3://study/x")

    def page(_operation: str, **asked: str) -> dict[str, Any]:
        first = int(asked.get("ContinuationToken", "0"))
        last = min(first + 1000, n)
        contents = [
            {"Key": f"x/files/md5/{one:032x}", "Size": 1, "ETag": f'"{_oid(one)}"'}
            for one in range(first, last)
        ]
        return {"Contents": contents, "IsTruncated": last < n, "NextContinuationToken": str(last)}

    bucket = open_bucket(root)
    bucket._inner.call_s3 = page
    return lambda: sum(1 for _ in bucket.list("files/md5/"))


def dvc_added(root: Path, n: int) -> Work:
    """`dvc add` of a folder of `n` files."""
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=root, check=True)
    (root / "many").mkdir()
    for number in range(n):
        (root / "many" / f"{number:07}").write_text(str(number))
    return partial(_dvc, root, "add", "many")


def dvc_looked(root: Path, n: int) -> Work:
    """`dvc status` of that folder, where nothing has changed."""
    dvc_added(root, n)()
    return partial(_dvc, root, "status")


def _dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments, "--quiet"], cwd=root, check=True)


def _remote(root: Path, url: str) -> None:
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / ".dvc").mkdir()
    config = f"[core]\n    remote = here\n['remote \"here\"']\n    url = {url}\n"
    (root / ".dvc" / "config").write_text(config)


MEASURES: dict[Callable[[Path, int], Work], tuple[int, ...]] = {
    units_made: (1000, 4000),
    units_found: (1000,),
    units_added: (10_000, 100_000),
    manifest_written: (100_000,),
    manifest_read: (100_000,),
    dir_object_read: (100_000, 1_000_000),
    folder_listed: (100_000,),
    s3_listed: (100_000, 1_000_000),
    dvc_added: (2000, 20_000),
    dvc_looked: (2000, 20_000),
}
"""What is measured, and with how many things."""


def measure(name: str, root: Path, n: int) -> dict[str, Any]:
    """How long it took, without what had to be there before, and what it took of memory."""
    work = {one.__name__: one for one in MEASURES}[name](root, n)
    whose = resource.RUSAGE_CHILDREN if name.startswith("dvc") else resource.RUSAGE_SELF
    before = 0 if name.startswith("dvc") else resource.getrusage(whose).ru_maxrss
    began = time.monotonic()
    work()
    seconds = time.monotonic() - began
    rose = (resource.getrusage(whose).ru_maxrss - before) / 1024
    done = 100 if name == "units_added" else n
    return {"what": name, "n": n, "seconds": round(seconds, 3), "per_second": round(done / seconds),
            "memory_mb": round(rose)}  # fmt: skip


def _in_process(name: str, root: Path, n: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", name, str(root), str(n)]
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "DVC_NO_ANALYTICS": "1",
    }  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures each, and prints a row; `--file` writes the table beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, root, n = options.measure
        print(json.dumps(measure(name, Path(root), int(n))))
        return
    rows = []
    for one, sizes in MEASURES.items():
        for n in sizes:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(_in_process(one.__name__, Path(folder), n))
            print(*rows[-1].values(), sep="\t", flush=True)
    if options.file:
        artifacts.write_csv(Path(__file__).parent / "scale.cpu.csv", rows, list(rows[0]))


if __name__ == "__main__":
    main()
