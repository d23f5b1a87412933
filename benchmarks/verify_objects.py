"""Time and memory of `backtracking verify` against a folder remote of many objects.

    .venv/bin/python benchmarks/verify_objects.py --objects 300000

Makes a project with one `dvc add`ed folder of that many small files, of which only the list is in
the local cache, and a remote that holds them all but one, in a temporary folder. Prints seconds and
the peak of resident memory of a fresh process, also for a hundredth of the objects.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lifeboat.proof import verify
from lifeboat.remotes.bucket import open_bucket


def build(root: Path, n_objects: int) -> None:
    """A project, and beside it a remote that lacks the first of its objects."""
    data = [f"{number}\n".encode() for number in range(n_objects)]
    oids = [hashlib.md5(content).hexdigest() for content in data]
    files = [{"md5": oid, "relpath": f"{n:06}"} for n, oid in enumerate(oids)]
    listed = json.dumps(files).encode()
    folder_oid = hashlib.md5(listed).hexdigest() + ".dir"
    remote = root.parent / "remote" / "files" / "md5"
    for prefix in {oid[:2] for oid in [*oids, folder_oid]}:
        (remote / prefix).mkdir(parents=True)
    for oid, content in list(zip(oids, data, strict=True))[1:]:
        (remote / oid[:2] / oid[2:]).write_bytes(content)
    cache = root / ".dvc" / "cache" / "files" / "md5" / folder_oid[:2]
    cache.mkdir(parents=True)
    for place in (remote / folder_oid[:2], cache):
        (place / folder_oid[2:]).write_bytes(listed)
    config = f"[core]\n    remote = here\n['remote \"here\"']\n    url = {root.parent}/remote\n"
    (root / ".dvc" / "config").write_text(config)
    size = sum(map(len, data))
    (root / "many.dvc").write_text(
        f"outs:\n- md5: {folder_oid}\n  size: {size}\n  nfiles: {n_objects}\n  hash: md5\n"
        "  path: many\n"
    )
    subprocess.run(["git", "init", "--quiet", root], check=True)


def measure(root: Path) -> None:
    """Verifies a project and prints how it went."""
    began = time.monotonic()
    found = verify.check(root, [], open_bucket(root))
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{found.n_expected} objects, {len(found.missing)} missing: {seconds:.1f} s, "
        f"peak {peak:.0f} MB"
    )


def main() -> None:
    """Builds and measures, each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=300_000)
    parser.add_argument("--measure", type=Path, help="Only measure a project that is there.")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    for n_objects in (options.objects // 100, options.objects):
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder) / "project", n_objects)
            command = [sys.executable, __file__, "--measure", f"{folder}/project"]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
