"""What backup says and does when things go wrong, against both S3 servers.

Every case ends in the same checks, in `Study.judged`. What was seen goes to logs/reliability.json,
of which `make reliability` makes docs/reliability.md.
"""

import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faulty_proxy
import pytest
import servers
from faulty_proxy import Fault, Proxy
from repositories import git
from servers import Place

from backtracking import PROJECT_ROOT
from backtracking.report import reliability
from lifeboat.items import Item, proven
from lifeboat.proof import expected, verify
from lifeboat.remotes import bucket, remote
from lifeboat.remotes.bucket import open_bucket
from lifeboat.saving import backup, partial, sending
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

pytestmark = pytest.mark.slow

N_KILLS = 15
"""For each of the two servers."""

BACKUP = """\
import contextlib, dataclasses, importlib, json, os, sys, time
from pathlib import Path
import boto3, botocore, dvc.repo, dvc_s3, s3fs
from lifeboat.saving import backup
from lifeboat.remotes import remote
remote.same_disk = lambda *_folders: False
imported = Path(sys.argv[2] + ".imported")
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        found = backup.backup(Path(sys.argv[1]))
        imported.write_text("\\n".join(sys.modules))
        Path(sys.argv[2]).write_text(json.dumps([dataclasses.asdict(item) for item in found]))
        os._exit(0)
    end = time.monotonic() + float(line)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    for name in imported.read_text().splitlines() if imported.exists() else ():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    print("ended", flush=True)
"""
"""What a backup imports when it first needs it, all after the first one have from the beginning."""


@dataclass
class Study:
    """A project with finished data, shards of an unfinished stage, git and a remote behind a proxy.

    Attributes:
        root: the project.
        place: the store itself, past the proxy.
        proxy: what stands before it; None for a folder.
        healthy: digests of all local data as it should be.
    """

    root: Path
    place: Place
    proxy: Proxy | None
    healthy: dict[str, str] = field(default_factory=dict)

    def backup(self) -> list[Item]:
        return backup.backup(self.root)

    def lacking(self) -> tuple[set[str], set[str]]:
        """Keys of finished data that the store lacks, or has with other content, all of it read."""
        outs = expected.read(self.root).outs
        wanted = {key_of(out.oid) for out in outs}
        for out in outs:
            listed = json.loads((self.root / ".dvc" / "cache" / key_of(out.oid)).read_bytes())
            wanted |= {key_of(entry["md5"]) for entry in listed}
        held = {key for key in self.place.sizes() if key.startswith("files/")}
        wrong = {key for key in held if not is_right(key, self.place.get(key))}
        return wanted - held, wrong & wanted

    def judged(self, found: list[Item], fault: str, says: str, saved: str) -> dict[str, Any]:
        """What a broken run comes to, with all that must hold after it, and after the next one."""
        said = "\n".join(f"{item.fact} {item.cure}" for item in found)
        assert says in said, said
        assert proven(found) == (saved == "yes"), said
        row = self.sound() | {"fault": fault, "says": says, "saved": saved}
        assert not proven(found) or self.lacking() == (set(), set())
        return row | {"lost": self.lost(), "mended": self.mended(), "runs": 1}

    def sound(self) -> dict[str, Any]:
        """Whether verify says of every object exactly what it is."""
        missing, wrong = self.lacking()
        seen = verify.check(self.root, [], open_bucket(self.root))
        called_missing = {key_of(finding.oid) for finding in seen.missing}
        called_wrong = {key_of(finding.oid) for finding in seen.wrong}
        wrongly = len((missing | wrong) - (called_missing | called_wrong))
        assert (called_missing, called_wrong) == (missing, wrong)
        return {"store": self.place.kind, "wrongly": wrongly}

    def empty(self) -> None:
        """Takes everything out of the store."""
        for key in self.place.sizes():
            self.place.remove(key)

    def lost(self) -> int:
        """Local files that a run changed or removed."""
        now = digests(self.root)
        return sum(now.get(path) != digest for path, digest in self.healthy.items())

    def mended(self) -> int:
        """Whether the next run, with nothing in its way, saves and proves all of it: 1 or 0."""
        found = self.backup()
        assert proven(found), wrong_facts(found)
        assert self.lacking() == (set(), set())
        store = open_bucket(self.root)
        (index,) = partial.read_indexes(store)
        assert len(index.parts) == 2
        for part in index.parts:
            data = (self.root / ".cache" / "store" / part.path).read_bytes()
            assert hashlib.sha256(data).hexdigest() == part.sha256
            assert hashlib.sha256(self.place.get(part.key)).hexdigest() == part.sha256
        return 1


def key_of(oid: str) -> str:
    return f"files/md5/{oid[:2]}/{oid[2:]}"


def is_right(key: str, data: bytes) -> bool:
    name = key.removeprefix("files/md5/").replace("/", "").removesuffix(".dir")
    return hashlib.md5(data).hexdigest() == name


def wrong_facts(found: list[Item]) -> str:
    return "\n".join(item.fact for item in found if item.verdict == "wrong")


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file of the local cache, of the outs and of the store of shards."""
    folders = (".dvc/cache", "data", "results", ".cache/store")
    files = [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): artifacts.sha256_file(path) for path in files}


@pytest.fixture(scope="module")
def seen() -> Iterator[list[dict[str, Any]]]:
    """Takes what the cases saw; at the end of the module it replaces what was seen before."""
    rows: list[dict[str, Any]] = []
    yield rows
    path = PROJECT_ROOT / reliability.SEEN
    before = artifacts.read_json(path) if path.is_file() else []
    columns = ("fault", "store", "says", "saved", "lost", "wrongly", "mended", "runs")
    by_case = {
        (row["fault"], row["store"]): {name: row[name] for name in columns}
        for row in [*before, *rows]
        if row["fault"] in ORDER
    }
    order = sorted(by_case, key=lambda case: (ORDER.index(case[0]), case[1]))
    artifacts.write_json(path, [by_case[case] for case in order])


@pytest.fixture(scope="module")
def prepared(finished_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished project with 12 more files and two shards of a stage that has not finished."""
    root = tmp_path_factory.mktemp("faults") / "project"
    shutil.copytree(finished_project, root, symlinks=True)
    folder, chance = root / "data" / "raw" / "many", random.Random(0)
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}").write_bytes(chance.randbytes(20_000 * (number + 1)))
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", folder], cwd=root, check=True)
    stage = "    cmd: sleep 9\n    deps: [data/raw/numbers]\n"
    with (root / "dvc.yaml").open("a") as file:
        file.write(f"  extract:\n{stage}    outs: [data/interim/activations/base]\n")
    store = root / ".cache" / "store" / "data" / "interim" / "activations" / "base"
    for key in ("aa", "bb"):
        data = chance.randbytes(100_000)
        name = f"{key * 32}.{hashlib.sha256(data).hexdigest()}.safetensors"
        artifacts.write_bytes(store / name, data)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Work")
    return root


@pytest.fixture
def project_(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it with a git remote, and clients that try again once or twice at most."""
    root = tmp_path / "project"
    shutil.copytree(prepared, root, symlinks=True)
    git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git(root, "remote", "add", "origin", str(tmp_path / "there.git"))
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    monkeypatch.setattr(sending, "_PAUSES", (0.02, 0.02))
    monkeypatch.setattr(bucket, "RETRIES", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return root


@pytest.fixture(params=servers.KINDS)
def study(
    project_: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Study]:
    """The project before each of the servers, with nothing saved yet."""
    for name, value in servers.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    endpoint = request.getfixturevalue(f"{request.param}_server")
    place = Place(request.param, f"s3://{servers.BUCKET}/{tmp_path.name}", endpoint)
    with faulty_proxy.proxy(endpoint) as proxy:
        remote.set_default(project_, place.url, proxy.endpoint)
        git(project_, "commit", "--quiet", "--all", "--message", "A remote")
        yield Study(project_, place, proxy, digests(project_))


CUT_PART = "connection cut in every second part of an object of 101 MiB"
CUT_DOWNLOAD = "connection cut in every download (`verify --deep`)"
NOBODY = "credentials of nobody, refused by the server"
NO_BUCKET = "missing bucket"
CORRUPT = "corrupt object in the local cache"
ALTERED = "altered object in the remote"
TWO = "two backups at once"
KILLED = "kill -9 at random moments"
FULL_DISK = "disk full"
CLOCK = "says that this machine's clock is wrong"
FAILS = "is overloaded or failing"
BROKE = "cannot be reached, or the connection broke"
CASES = {
    "connection cut in the middle of every upload": (
        Fault("cut upload", hits=faulty_proxy.uploads), BROKE, "no",
    ),
    "connection cut in the middle of two uploads": (
        Fault("cut upload", hits=faulty_proxy.uploads, times=2), "All 18 objects", "yes",
    ),
    "answer lost after every upload": (
        Fault("lose answer", hits=faulty_proxy.uploads), BROKE, "no",
    ),
    "500 InternalError to every upload": (
        Fault("answer", "InternalError", 500, hits=faulty_proxy.uploads), FAILS, "no",
    ),
    "503 SlowDown to every request": (
        Fault("answer", "SlowDown", 503), FAILS, "no",
    ),
    "503 SlowDown to three requests about objects": (
        Fault("answer", "SlowDown", 503, hits=faulty_proxy.uploads, times=3),
        "All 18 objects", "yes",
    ),
    "no answer to any upload (timeouts)": (
        Fault("stall", hits=faulty_proxy.uploads), BROKE, "no",
    ),
    "wrong credentials": (
        Fault("answer", "SignatureDoesNotMatch", 403), "does not know these credentials", "no",
    ),
    "expired token": (
        Fault("answer", "ExpiredToken", 400), "says that the token has expired", "no",
    ),
    "read-only bucket": (
        Fault("answer", "AccessDenied", 403, hits=faulty_proxy.writes), "does not allow it", "no",
    ),
    "clock skew": (
        Fault("answer", "RequestTimeTooSkewed", 403), CLOCK, "no",
    ),
}  # fmt: skip
ORDER = [
    *CASES,
    CUT_PART,
    CUT_DOWNLOAD,
    NOBODY,
    NO_BUCKET,
    FULL_DISK,
    CORRUPT,
    ALTERED,
    TWO,
    KILLED,
]


@pytest.mark.parametrize("fault", CASES)
def test_a_fault_is_told_loses_nothing_and_the_next_run_mends_it(
    study: Study, fault: str, seen: list[dict[str, Any]]
) -> None:
    assert study.proxy is not None
    breaks, says, saved = CASES[fault]
    if breaks.manner == "stall":
        _lose_patience_soon(study)
    with study.proxy.breaking(breaks):
        found = study.backup()
        assert study.proxy.n_hit > 0, wrong_facts(found)
    seen.append(study.judged(found, fault, says, saved))


def _lose_patience_soon(study: Study) -> None:
    """Lets clients wait for a second only."""
    config = study.root / ".dvc" / "config"
    endpoint = f"{study.proxy.endpoint}\n" if study.proxy else ""
    config.write_text(config.read_text().replace(endpoint, f"{endpoint}    read_timeout = 1\n"))


def test_an_object_that_is_sent_in_parts_is_not_there_while_one_of_them_is_missing(
    study: Study, seen: list[dict[str, Any]]
) -> None:
    assert study.proxy is not None
    large = study.root / "data" / "raw" / "large"
    large.mkdir()
    (large / "one").write_bytes(random.Random(1).randbytes(101 * 2**20))
    command = [sys.executable, "-m", "dvc", "add", "-q", str(large)]
    subprocess.run(command, cwd=study.root, check=True)
    git(study.root, "add", "--all")
    git(study.root, "commit", "--quiet", "--message", "A large file")
    study.healthy = digests(study.root)
    with study.proxy.breaking(Fault("cut upload", hits=lambda one: "partNumber=2" in one.path)):
        found = study.backup()
        assert study.proxy.n_hit > 0, wrong_facts(found)
    seen.append(study.judged(found, CUT_PART, BROKE, "no"))


def test_a_download_that_is_cut_is_no_proof(study: Study, seen: list[dict[str, Any]]) -> None:
    assert study.proxy is not None
    assert proven(study.backup())
    with study.proxy.breaking(Fault("cut download", hits=faulty_proxy.downloads)):
        found = _answered(study)
    row = study.judged(found, CUT_DOWNLOAD, BROKE, "no")
    seen.append(row)


def _answered(study: Study) -> list[Item]:
    try:
        return verify.verify(study.root, deep=True)
    except UserError as error:
        return [Item(str(error), "wrong")]


def test_credentials_that_the_server_does_not_know(
    study: Study, seen: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if study.place.kind != "rclone":  # moto lets everybody in
        assert study.place.kind == "moto"
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "B" * 20)
    found = study.backup()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.ACCOUNT)
    says = "does not know these credentials"
    seen.append(study.judged(found, NOBODY, says, "no"))


def test_a_bucket_that_is_not_there(study: Study, seen: list[dict[str, Any]]) -> None:
    config = study.root / ".dvc" / "config"
    text = config.read_text()
    config.write_text(text.replace(f"s3://{servers.BUCKET}/", "s3://nothere/"))
    found = study.backup()
    config.write_text(text)
    seen.append(study.judged(found, NO_BUCKET, "has no such bucket", "no"))


def test_a_local_object_that_is_damaged_is_never_sent(
    study: Study, seen: list[dict[str, Any]]
) -> None:
    path = study.root / "data" / "raw" / "many" / "05"
    data = path.read_bytes()
    cached = study.root / ".dvc" / "cache" / key_of(hashlib.md5(data).hexdigest())
    for copy in (path, cached):
        _overwrite(copy, b"????")  # as root may, through the link into DVC's cache
    study.healthy = digests(study.root)
    found = study.backup()
    assert "data/raw/many/05" in wrong_facts(found)
    assert key_of(hashlib.md5(data).hexdigest()) not in study.place.sizes()
    row = study.sound() | {"lost": study.lost()}
    for copy in (path, cached):
        _overwrite(copy, data[:4])
    seen.append(row | study.judged(found, CORRUPT, "does not hash", "no") | {"lost": row["lost"]})


def _overwrite(path: Path, data: bytes) -> None:
    """Writes into a file in place."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(data)


def test_an_object_that_was_altered_in_the_remote_is_sent_again(
    study: Study, seen: list[dict[str, Any]]
) -> None:
    assert proven(study.backup())
    key = key_of(hashlib.md5((study.root / "data/raw/many/05").read_bytes()).hexdigest())
    study.place.put(key, b"?" * study.place.sizes()[key])
    assert study.lacking() == (set(), {key})
    row = study.sound()
    found = study.backup()
    row |= study.judged(found, ALTERED, "Sent now, object by object: 1", "yes")
    seen.append(row)


@dataclass
class Helper:
    """A process that runs backups as its children, one at a time, and may kill them."""

    process: subprocess.Popen[str]
    told: Path

    def run(self, seconds: float = 600) -> list[Item] | None:
        """What a backup said; None where it was killed after that time."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.told.unlink(missing_ok=True)
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ended\n"
        return self.said() if self.told.exists() else None

    def said(self) -> list[Item]:
        """What the last backup that ended said."""
        return [Item(**item) for item in json.loads(self.told.read_text())]


@contextmanager
def begun(study: Study, tmp_path: Path, n: int) -> Iterator[list[Helper]]:
    """Helpers that have imported what a backup needs."""
    found = []
    for number in range(n):
        told = tmp_path / f"{number}.json"
        command = [sys.executable, "-c", BACKUP, str(study.root), str(told)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        found.append(Helper(process, told))
    for helper in found:
        assert helper.process.stdout is not None
        assert helper.process.stdout.readline() == "ready\n"
    yield found
    for helper in found:
        helper.process.communicate()


@pytest.fixture
def helper(study: Study, tmp_path: Path) -> Iterator[Helper]:
    """One of them."""
    with begun(study, tmp_path, 1) as (found,):
        yield found


@pytest.fixture
def helpers(study: Study, tmp_path: Path) -> Iterator[list[Helper]]:
    """Two of them."""
    with begun(study, tmp_path, 2) as found:
        yield found


def test_two_backups_at_once_disturb_neither(
    study: Study, helpers: list[Helper], seen: list[dict[str, Any]]
) -> None:
    for helper in helpers:
        assert helper.process.stdin is not None
        helper.process.stdin.write("600\n")
        helper.process.stdin.flush()
    for helper in helpers:
        assert helper.process.stdout is not None
        assert helper.process.stdout.readline() == "ended\n"
        found = helper.said()
        assert "All 18 objects" in "\n".join(item.fact for item in found)
    assert study.lacking() == (set(), set())
    row = study.sound() | {"fault": TWO, "says": "All 18 objects", "saved": "yes"}
    seen.append(row | {"lost": study.lost(), "mended": study.mended(), "runs": 1})


def test_killed_at_random_moments_nothing_is_half_there_and_the_next_run_completes_it(
    study: Study, helper: Helper, seen: list[dict[str, Any]]
) -> None:
    chance = random.Random(study.place.kind)
    assert helper.run() is not None
    study.empty()
    began = time.monotonic()
    assert helper.run() is not None
    takes = time.monotonic() - began
    n_killed = n_mended = n_lost = 0
    while n_killed < N_KILLS:
        study.empty()
        if helper.run(chance.uniform(0, takes)) is not None:
            continue
        n_killed += 1
        held = {key for key in study.place.sizes() if key.startswith("files/")}
        assert all(is_right(key, study.place.get(key)) for key in held)
        n_lost += study.lost()
        found = helper.run()
        assert found is not None
        assert proven(found), wrong_facts(found)
        assert study.lacking() == (set(), set())
        n_mended += 1
    row = study.sound() | {"fault": KILLED, "says": "nothing", "saved": "no"}
    seen.append(row | {"lost": n_lost, "mended": n_mended, "runs": n_killed})
    assert study.mended()


FULL = """\
mount -t tmpfs -o size=1m tmpfs "$1" && {script} > "$2/first.json"
find "$1" -type f -size +0 > "$2/between" && mount -o remount,size=64m "$1"
{script} > "$2/second.json" && cp -r "$1/." "$2/held"
"""
ONCE = """\
import dataclasses, json, sys
from pathlib import Path
from lifeboat.saving import backup
from lifeboat.remotes import remote
remote.same_disk = lambda *_folders: False
found = backup.backup(Path(sys.argv[1]))
print(json.dumps([dataclasses.asdict(item) for item in found]))
"""


def test_a_disk_that_is_full_holds_nothing_by_halves(
    project_: Path, tmp_path: Path, seen: list[dict[str, Any]]
) -> None:
    there, out = tmp_path / "mounted", tmp_path / "out"
    for folder in (there, out / "held"):
        folder.mkdir(parents=True)
    remote.set_default(project_, str(there))
    git(project_, "commit", "--quiet", "--all", "--message", "A small disk")
    study = Study(project_, Place("folder", str(out / "held")), None, digests(project_))
    (tmp_path / "once.py").write_text(ONCE)
    script = f"{sys.executable} {tmp_path / 'once.py'} {project_}"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", FULL.format(script=script)]
    subprocess.run([*command, "sh", str(there), str(out)], check=True, timeout=300)
    first, second = (
        [Item(**item) for item in json.loads((out / f"{name}.json").read_text())]
        for name in ("first", "second")
    )
    assert not proven(first)
    assert "has no space left" in wrong_facts(first)
    names = (out / "between").read_text().split()
    assert not [name for name in names if name.rpartition("/")[2].startswith(".")], names
    assert proven(second), wrong_facts(second)
    assert study.lacking() == (set(), set())
    row = {"fault": FULL_DISK, "store": "folder", "says": "has no space left", "saved": "no"}
    seen.append(row | {"lost": study.lost(), "wrongly": 0, "mended": 1, "runs": 1})
