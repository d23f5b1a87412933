"""What this checkout is right now, in `runs/YYYYMMDD_HHMMSS/`: small, readable, without secrets."""

import contextlib
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lifeboat import processes, project
from lifeboat.doctor import device, environment
from lifeboat.git import commit
from lifeboat.items import Item, printable
from lifeboat.proof import receipts
from lifeboat.proof.receipts import Receipt
from lifeboat.remotes import remote
from lifeboat.running import stage_seconds
from lifeboat.secrets import scanning
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

MAX_DIFF_BYTES = 1_000_000
"""A longer diff is cut, and says so: a snapshot is committed and stays small."""

MAX_RECEIPT_BYTES = 1_000_000
"""A longer receipt is named in `metadata.txt` and not copied."""

ATTEMPTS = 100
"""So often a folder is tried, ten times in a second."""

LAST_RECEIPT = "last_receipt.json"
"""The newest receipt that there was before this snapshot; its own is `receipt.json`."""

NO_RECEIPT = "none: nothing was ever proven saved"

HERE_ONLY = Item(
    "A snapshot is on this machine only until it is pushed.",
    "ok",
    "Run `lifeboat push` (`lifeboat backup` does both).",
)


def take(root: Path) -> list[Item]:
    """Writes a new snapshot and says what is in it and what is not.

    `metadata.txt` is written last: a folder without it is the rest of an interrupted snapshot.

    Raises:
        UserError: where `root` is not a git repository, or one in which git does not work.
    """
    processes.require_repository(root)
    state = _state(root)
    folder = _new_folder(root / "runs")
    copies = ("dvc.lock", *project.contract(root).snapshot)
    present = [name for name in copies if (root / name).is_file()]
    for name in present:
        _write(folder / Path(name).name, (root / name).read_text(errors="replace"))
    _write(folder / "git_status.txt", state.status)
    _write(folder / "git_diff.patch", state.diff[:MAX_DIFF_BYTES])
    installed = [f"{name}=={version}" for name, version in environment.packages().items()]
    _write(folder / "environment.txt", "\n".join(installed) + "\n")
    if seconds := stage_seconds.known(root):
        stage_seconds.write(folder / stage_seconds.NAME, seconds, stage_seconds.study(root))
    last = receipts.newest(root)
    if last and last[0].stat().st_size <= MAX_RECEIPT_BYTES:
        artifacts.write_bytes(folder / LAST_RECEIPT, last[0].read_bytes())
    absent = [name for name in copies if name not in present]
    metadata = _metadata(root, folder.name, absent, state)
    _write(folder / "metadata.txt", "\n".join(metadata) + "\n")
    return _said(folder.relative_to(root), present, state)


@dataclass(frozen=True)
class _State:
    """What git says before there is a snapshot.

    Attributes:
        status: `git status`, short, with the branch and every untracked file.
        diff: the difference to the commit.
    """

    status: str
    diff: str

    @property
    def changes(self) -> list[str]:
        return [line for line in self.status.splitlines() if not line.startswith("##")]

    @property
    def is_cut(self) -> bool:
        return len(self.diff) > MAX_DIFF_BYTES


def _state(root: Path) -> _State:
    status = processes.git(root, "status", "--short", "--branch", "--untracked-files=all").stdout
    diff = processes.git_diff(root, "HEAD")
    if diff.returncode != 0:
        return _State(printable(status), "no commit to compare with\n")
    return _State(printable(status), printable(diff.stdout) or "no difference to the commit\n")


def _metadata(root: Path, name: str, absent: list[str], state: _State) -> list[str]:
    where, last = remote.default(root), receipts.newest(root)
    differs = "differs from the commit, see git_status.txt and git_diff.patch"
    return [
        f"snapshot: {name}",
        f"created: {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"commit: {processes.git_line(root, 'rev-parse', 'HEAD') or 'none yet'}",
        f"branch: {processes.git_line(root, 'branch', '--show-current') or 'detached HEAD'}",
        f"tree: {differs if state.changes else 'as committed'}",
        "untracked files: named in git_status.txt, not copied",
        f"diff: {f'cut after {MAX_DIFF_BYTES} bytes' if state.is_cut else 'whole'}, redacted",
        f"git remote: {commit.push_url(root, commit.remote_name(root)) or 'none'}",
        f"dvc remote: {where.url if where else 'none'}",
        f"last receipt: {_last_receipt(last, root) if last else NO_RECEIPT}",
        f"not there to copy: {', '.join(absent) or 'nothing'}",
        f"python: {platform.python_version()}",
        *device.lines(),
    ]


def _last_receipt(last: tuple[Path, Receipt], root: Path) -> str:
    path, receipt = last
    what = "all was proven saved" if receipt.proven else "NOT ALL was proven saved"
    return f"{path.relative_to(root)}, {receipt.created}: {what}"


def _said(where: Path, present: list[str], state: _State) -> list[Item]:
    copied = ", ".join(present) or "and nothing of the study, because none of it is there"
    items = [Item(f"Snapshot {where}/ written: git state, environment, device, {copied}.")]
    if state.is_cut:
        cure = "Commit the change; then the commit has all of it."
        items.append(Item(f"The diff is cut after {MAX_DIFF_BYTES} bytes.", "warning", cure))
    if n_untracked := sum(line.startswith("??") for line in state.changes):
        fact = f"{n_untracked} untracked files are named in it, not copied."
        items.append(Item(fact, "warning", "Commit them, or `lifeboat push` does."))
    return items


def _new_folder(runs: Path) -> Path:
    """A folder named by the second, made by us: a second snapshot waits for the next one."""
    folder = runs
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for _ in range(ATTEMPTS):
            folder = runs / time.strftime("%Y%m%d_%H%M%S")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
            time.sleep(0.1)
    except OSError as error:
        cure = f"`ls -ld {folder}` shows what is there: it has to be a folder that can be written."
        raise UserError(f"{folder} could not be made: {error.strerror}.", cure) from error
    raise UserError(f"{folder} could not be made: there is one of every second.", "Run it again.")


def _write(path: Path, text: str) -> None:
    artifacts.write_text(path, scanning.blot_out(text))
