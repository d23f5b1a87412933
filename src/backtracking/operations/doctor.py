"""Whether the study can run here and where its work would be kept: facts, verdicts, cures.

Nothing is contacted over the network; what was not checked is said not to have been.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from backtracking import tracking
from backtracking.errors import UserError
from backtracking.operations import device, environment, processes, remote
from backtracking.operations.items import Item

REQUIRED_FREE_GB = 2.0
"""The default study writes less than this; studies of larger models say what they need."""


def examine(root: Path) -> list[Item]:
    """All facts, in the order in which one would mend them."""
    checks: list[Callable[[], list[Item]]] = [
        lambda: [environment.python_item()],
        lambda: [environment.venv_item(root), environment.packages_item(root)],
        lambda: device.items(device.describe()),
        lambda: [disk_item(root)],
        lambda: [hub_item(), tracking_item(), environment.dotenv_item(root)],
        lambda: git_items(root),
        lambda: [pipeline_item(root), remote.item(root), cache_item(root)],
    ]
    return [item for check in checks for item in _readable(check)]


def disk_item(root: Path) -> Item:
    """Whether the disk of the project has room for the default study."""
    free = shutil.disk_usage(root).free / 1e9
    fact = f"{free:.1f} GB are free on the disk of the project."
    if free < REQUIRED_FREE_GB:
        cure = f"The default study asks for {REQUIRED_FREE_GB:.0f} GB: free some space."
        return Item(fact, "wrong", cure)
    return Item(fact)


def hub_item() -> Item:
    """Whether a Hugging Face token is set up; the hub is not asked about it."""
    from huggingface_hub import get_token

    if get_token():
        return Item("A Hugging Face token is set up (not checked with the hub).")
    return Item(
        "No Hugging Face token: the default study and public models need none; gated models and "
        "higher download limits do (HF_TOKEN in .env)."
    )


def tracking_item() -> Item:
    """What Weights & Biases will do in a run started here."""
    return Item(
        {
            "off": "W&B tracking is off: no WANDB_API_KEY; nothing needs it.",
            "offline": "W&B tracking is offline: runs are written to disk, nothing is sent.",
            "online": "W&B tracking is on (the key was not checked with the server).",
        }[tracking.mode()]
    )


def git_items(root: Path) -> list[Item]:
    """Whether git would commit here, and where it could push."""
    if processes.git_line(root, "rev-parse", "--is-inside-work-tree") != "true":
        cure = "Clone it with git: DVC and the snapshots need its history."
        return [Item(f"{root} is not a git repository.", "wrong", cure)]
    who = processes.git(root, "var", "GIT_COMMITTER_IDENT")
    if who.returncode == 0:
        identity = Item(f"git commits as {who.stdout.rsplit(' ', 2)[0].strip()}.")
    else:
        cure = 'Run `git config user.name "..."` and `git config user.email ...`.'
        identity = Item("git has no name and address to commit with.", "warning", cure)
    return [identity, _git_remote_item(root)]


def pipeline_item(root: Path) -> Item:
    """Whether this folder has what `dvc repro` needs."""
    names = ("dvc.yaml", "params.yaml", ".dvc/config")
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        cure = "Run `git checkout -- " + " ".join(missing) + "`."
        return Item(f"{', '.join(missing)} missing: the pipeline cannot run.", "wrong", cure)
    return Item("dvc.yaml, params.yaml and DVC's configuration are there.")


def cache_item(root: Path) -> Item:
    """Whether a file of DVC's cache and the same file in an out can be one inode here."""
    from dvc.config import Config

    config = Config(str(root / ".dvc"))["cache"]
    folder = Path(config.get("dir") or root / ".dvc" / "cache")
    kinds = config.get("type") or ["reflink", "copy"]
    if "hardlink" not in kinds:
        cure = "Run `dvc config cache.type hardlink,symlink`."
        return Item(f"DVC's cache type is {','.join(kinds)}.", "warning", cure)
    if _hardlinks(folder, root):
        return Item("Hard links work between DVC's cache and the workspace: no second copy.")
    cure = "Put both on one file system (`dvc cache dir`), or count the bytes twice."
    return Item(f"No hard links between {folder} and the workspace.", "warning", cure)


def _git_remote_item(root: Path) -> Item:
    names = processes.git_line(root, "remote").split()
    if not names:
        return Item(
            "git has no remote: the code and its history are ONLY ON THIS MACHINE.",
            "warning",
            "Run `git remote add origin URL`, then `make push`.",
        )
    where = processes.git_line(root, "remote", "get-url", names[0])
    folder = Path(where.removeprefix("file://")).expanduser()
    if folder.is_absolute() and remote.same_disk(folder, root):
        cure = "Use a remote on another machine."
        return Item(f"git's remote `{names[0]}` is on THIS MACHINE: {where}.", "warning", cure)
    return Item(f"git's remote `{names[0]}` is {where} (not contacted by this check).")


def _hardlinks(cache: Path, root: Path) -> bool:
    existing = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    try:
        with (
            tempfile.TemporaryDirectory(dir=existing, prefix=".doctor.") as there,
            tempfile.TemporaryDirectory(dir=root, prefix=".doctor.") as here,
        ):
            (Path(there) / "probe").touch()
            os.link(Path(there) / "probe", Path(here) / "probe")
    except OSError:
        return False
    return True


def _readable(check: Callable[[], list[Item]]) -> list[Item]:
    try:
        return check()
    except UserError as error:
        return [Item(str(error), "wrong")]
    except ImportError as error:
        return [Item(f"{error}.", "wrong", "Run `make install`.")]
