"""What was proven to be saved, where, when and by which comparison: `receipt.json`.

One lies in the newest snapshot, `runs/<stamp>/receipt.json`, and goes to git; one in the remote,
`receipts/<time>-<machine>.json`.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from lifeboat import reading
from lifeboat.remotes.bucket import Bucket
from lifeboat.stage import artifacts

FORMAT = 1
NAME = "receipt.json"


@dataclass(frozen=True)
class Receipt:
    """What one backup proved.

    Attributes:
        created: when, in UTC, by this machine's clock.
        machine: the name of the machine's store.
        proven: whether all of it was.
        content_sha256: hash of what git holds of the working tree, without `runs/`.
        commit: the commit that holds the working tree.
        branch: the branch of the git remote that showed it.
        git: the git remote.
        remote: the DVC remote.
        comparison: how objects were compared.
        n_objects: objects of finished outs that were expected there.
        missing: those that are not, as `path (stage): why`.
        outs_sha256: hash of the outs that were expected.
        n_parts: files of unfinished work that are there.
        parts_bytes: their bytes.
        parts_sha256: hash of their paths and contents.
        unfinished: stages that had not finished.
    """

    created: str
    machine: str
    proven: bool
    content_sha256: str
    commit: str
    branch: str
    git: str
    remote: str
    comparison: str
    n_objects: int
    missing: tuple[str, ...]
    outs_sha256: str
    n_parts: int
    parts_bytes: int
    parts_sha256: str
    unfinished: tuple[str, ...]

    @property
    def state(self) -> str:
        """A hash of what it says, whenever and by whichever commit it is said."""
        value = {k: v for k, v in asdict(self).items() if k not in ("created", "commit")}
        return artifacts.sha256_json(value)


def now() -> str:
    """The time as receipts write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def newest(root: Path) -> tuple[Path, Receipt] | None:
    """The newest receipt of this checkout that can be read, and where it lies."""
    for path in sorted((root / "runs").glob(f"*/{NAME}"), reverse=True):
        if (receipt := _read(path)) is not None:
            return path, receipt
    return None


def write(path: Path, receipt: Receipt) -> None:
    """Writes a receipt into a snapshot.

    Raises:
        UserError: where it cannot be written.
    """
    artifacts.write_text(path, _text(receipt))


def send(bucket: Bucket, receipt: Receipt) -> str:
    """Puts a receipt into the remote; its key.

    Raises:
        UserError: where the remote does not take it.
    """
    stamp = receipt.created.replace("-", "").replace(":", "").split("+")[0]
    key = f"receipts/{stamp}-{receipt.machine}.json"
    bucket.write(key, _text(receipt).encode())
    return key


def hash_of(values: Iterable[object]) -> str:
    """A hash of values that JSON can hold, in whichever order they come."""
    return artifacts.sha256_json(sorted(map(str, values)))


def _text(receipt: Receipt) -> str:
    value = {"format": FORMAT, **asdict(receipt)}
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _read(path: Path) -> Receipt | None:
    """A receipt, read with distrust: it may have come with a clone."""
    try:
        value = json.loads(reading.read(path))
        if value.pop("format") != FORMAT or set(value) != {field.name for field in fields(Receipt)}:
            return None
        for name in ("missing", "unfinished"):
            value[name] = tuple(map(str, value[name]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    kinds = {"proven": bool, "n_objects": int, "n_parts": int, "parts_bytes": int}
    kinds |= {"missing": tuple, "unfinished": tuple}
    is_sound = all(type(item) is kinds.get(name, str) for name, item in value.items())
    return Receipt(**value) if is_sound else None
