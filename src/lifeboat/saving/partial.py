"""Unfinished work in the remote: pieces of outs, units and steps, that no saved out holds.

They lie beside DVC's objects: `partial/sha256/xx/...` by content, and, written last, an index for
each machine and branch, `partial/index/<machine>-<hash of the branch>.json`, which lists all that
this machine has of it. So work on one branch stays named while the machine works on another.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lifeboat.deadlines import in_threads
from lifeboat.proof.comparison import Judge, Judgement, Meant
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import OF_ONE_OBJECT, StoreError
from lifeboat.stage.errors import UserError

FORMAT = 2
OBJECTS, INDEXES = "partial/sha256/", "partial/index/"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_PATH = re.compile(r"(\w[\w.@-]*/)+\w[\w.@-]*")
_MACHINE = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True)
class Part:
    """A file of the store that the remote has.

    Attributes:
        path: relative to the store, `<out>/<file>`.
        bytes: its size.
        sha256: of its content, by which it is named there.
        stage: whose it is.
        md5: of its content, for comparison with what a store says.
    """

    path: str
    bytes: int
    sha256: str
    stage: str
    md5: str = ""

    @property
    def key(self) -> str:
        """Where it lies in the remote."""
        return f"{OBJECTS}{self.sha256[:2]}/{self.sha256[2:]}"

    @property
    def meant(self) -> Meant:
        """The object that the remote should have of it."""
        return Meant(self.key, self.md5, self.bytes, sha256=self.sha256)


@dataclass(frozen=True)
class Index:
    """What a machine has of a branch's unfinished work.

    Attributes:
        machine: its name.
        commit: HEAD there.
        branch: the branch there, empty where it had none.
        parts: all of its parts.
    """

    machine: str
    commit: str
    branch: str
    parts: tuple[Part, ...]

    @property
    def key(self) -> str:
        """Where it lies in the remote."""
        return index_key(self.machine, self.branch)


def index_key(machine: str, branch: str) -> str:
    """Where the index of a machine and a branch lies in the remote."""
    digest = hashlib.sha256(branch.encode()).hexdigest()[:8]
    return f"{INDEXES}{machine}-{digest}.json"


def write_index(bucket: Bucket, index: Index) -> None:
    """Puts an index into the remote; call it when all of its parts are there."""
    value = {"format": FORMAT, **asdict(index)}
    data = json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"
    bucket.write(index.key, data)


def read_indexes(bucket: Bucket, problems: list[str] | None = None) -> Iterator[Index]:
    """The indexes of all machines.

    Args:
        bucket: the remote.
        problems: takes what is said of those that are none or cannot be read; without it the first
            one raises.

    Raises:
        StoreError: where the remote cannot be asked.
        UserError: for one that is none, or names a path outside the store.
    """
    for stored in bucket.list(INDEXES):
        try:
            yield parse_index(bucket.read(stored.key), stored.key)
        except UserError as error:
            if problems is None or not _is_of_one(error):
                raise
            problems.append(str(error))


def parse_index(data: bytes, where: str) -> Index:
    """An index, read with distrust.

    Raises:
        UserError: as `read_indexes`.
    """
    try:
        value = json.loads(data)
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r:.40}")
        parts = tuple(_part(entry) for entry in value["parts"])
        index = Index(value["machine"], value["commit"], value["branch"], parts)
        texts = (index.machine, index.commit, index.branch)
        if not all(isinstance(text, str) for text in texts) or not _MACHINE.fullmatch(texts[0]):
            raise ValueError("no machine, commit or branch")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is no list of unfinished work: {error}.") from None
    return index


def read_index(bucket: Bucket, machine: str, branch: str) -> Index | None:
    """An index, None where there is none or it cannot be read.

    Raises:
        StoreError: where the remote cannot be asked.
    """
    try:
        key = index_key(machine, branch)
        return parse_index(bucket.read(key), key)
    except UserError as error:
        if _is_of_one(error):
            return None
        raise


def absent(parts: Iterable[Part], bucket: Bucket) -> list[tuple[Part, Judgement]]:
    """The parts that the remote, asked anew, lacks, does not let one read or has differently."""
    judge, wanted = Judge(bucket), {part.key: part for part in parts}
    judged = in_threads(lambda part: judge.ask(part.meant), wanted.values())
    found = zip(wanted.values(), judged, strict=True)
    return [(part, verdict) for part, verdict in found if verdict.wrong]


def _is_of_one(error: UserError) -> bool:
    """Whether an error tells something about one object, and nothing about the remote."""
    return not isinstance(error, StoreError) or error.kind in OF_ONE_OBJECT


def _part(value: Any) -> Part:
    part = Part(**{"md5": "", **value})
    if not _PATH.fullmatch(part.path):
        raise ValueError(f"it names the path {part.path!r:.60}")
    if not _SHA256.fullmatch(part.sha256) or (part.md5 and not _MD5.fullmatch(part.md5)):
        raise ValueError(f"it names the hash {part.sha256!r:.70}")
    if type(part.bytes) is not int or part.bytes < 0 or not isinstance(part.stage, str):
        raise ValueError(f"{part.path} has no size or no stage")
    return part
