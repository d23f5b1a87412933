"""Where DVC sends data: the default remote, a new one, and whether it outlives this machine."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from lifeboat.items import Item
from lifeboat.stage import abilities
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:
    from dvc.config import Config

SET = "Run `lifeboat remote set s3://BUCKET/PATH`."

_KEYS_BELONG = (
    "Keys never go into .dvc/config, which is committed: put AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY into .env (see .env.example)."
)


@dataclass(frozen=True)
class Remote:
    """A DVC remote.

    Attributes:
        name: its name in .dvc/config.
        url: its address.
        endpoint: address of an S3-compatible service, empty for AWS itself.
    """

    name: str
    url: str
    endpoint: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine, or one mounted on it."""
        return urlsplit(self.url).scheme in ("", "file", "local")

    @property
    def folder(self) -> Path:
        """The folder, where it is one."""
        return Path(re.sub(r"^(file|local)://", "", self.url)).expanduser()


def configuration(root: Path) -> "Config":
    """DVC's configuration of a project.

    Raises:
        UserError: where it cannot be read.
    """
    from dvc.config import Config, ConfigError

    try:
        return Config(str(root / ".dvc"))
    except ConfigError as error:
        raise UserError(f"DVC's configuration cannot be read: {error}") from None


def remotes(root: Path, level: str = "") -> tuple[list[Remote], str]:
    """All remotes of the project, and the name of the default one (empty where there is none).

    With a `level`, such as `repo` for .dvc/config, only what DVC's settings of that level say.
    """
    merged = configuration(root)
    read = merged.read(level) if level else merged
    config = cast("dict[str, dict[str, Any]]", read)
    found = [
        Remote(name, str(values.get("url", "")), str(values.get("endpointurl", "")))
        for name, values in config["remote"].items()
    ]
    return found, str(config["core"].get("remote", ""))


def default(root: Path, level: str = "") -> Remote | None:
    """The remote that `dvc push` uses, if one is set; of one level of settings as in `remotes`."""
    found, name = remotes(root, level)
    return next((remote for remote in found if remote.name == name), None)


def on_this_disk(remote: Remote, root: Path) -> bool:
    """Whether a remote is a folder on the file system of the project or of the home folder."""
    return remote.is_folder and same_disk(remote.folder, root)


def same_disk(folder: Path, root: Path) -> bool:
    """Whether a folder lies on the file system of the project or of the home folder."""
    return _device(folder) in {_device(root), _device(Path.home())}


def git_folder(url: str, root: Path) -> Path | None:
    """The folder that an address of git means, None where it means another machine."""
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    if "://" in url or ":" in url.partition("/")[0]:
        return None
    return root / Path(url).expanduser()


def host_here(url: str) -> str:
    """The host that an address means (git's `user@host:path` too), where it is this machine."""
    host = urlsplit(url).hostname if "://" in url else url.partition(":")[0].rpartition("@")[2]
    return host if host and (host in ("localhost", "::1") or host.startswith("127.")) else ""


def item(root: Path) -> Item:
    """What the default remote is, and whether it survives the machine; it is not contacted."""
    remote = default(root)
    if remote is None:
        fact = "DVC has no default remote: `dvc push` has nowhere to send data."
        return Item(fact, "warning", SET)
    if not remote.is_folder:
        return _network_item(remote)
    if on_this_disk(remote, root):
        fact = f"DVC's REMOTE `{remote.name}` IS ON THIS MACHINE, {remote.folder}: IT DOES NOT"
        cure = "Run `lifeboat remote set s3://BUCKET/PATH` before anything is worth keeping."
        return Item(f"{fact} SURVIVE THE MACHINE.", "warning", cure)
    fact = f"DVC's remote `{remote.name}` is a folder on another file system, {remote.folder};"
    fact = f"{fact} whether that outlives this machine cannot be seen from here."
    return Item(fact, "warning", "Make sure that it is a network volume.")


def _network_item(remote: Remote) -> Item:
    if host := host_here(remote.endpoint or remote.url):
        fact = f"DVC's REMOTE `{remote.name}` IS A SERVER ON THIS MACHINE, {host}: it may go with"
        return Item(f"{fact} it.", "warning", "Run `lifeboat remote set URL` with one elsewhere.")
    return Item(f"DVC's remote `{remote.name}` is {remote.url}, on other machines than this one.")


def survival(root: Path, where: Remote) -> list[Item]:
    """What is to be said after a push to a remote that may go with this machine, or unfound."""
    return [*_finding(root, where), *_lasting(root, where)]


def _finding(root: Path, where: Remote) -> list[Item]:
    """Whether .dvc/config, which is all that a clone has, names the remote."""
    shared = default(root, "repo")
    if shared and (shared.url, shared.endpoint) == (where.url, where.endpoint):
        return []
    fact = f"A CLONE DOES NOT FIND THE DATA: the address of the DVC remote `{where.name}` is in"
    fact = f"{fact} settings of this machine (.dvc/config.local), and .dvc/config names"
    cure = "Run `lifeboat remote set` with that address, which writes it into .dvc/config."
    return [Item(f"{fact} {'another one' if shared else 'none'}.", "wrong", cure)]


def _lasting(root: Path, where: Remote) -> list[Item]:
    if not on_this_disk(where, root):
        said = item(root)
        return [said] if said.verdict != "ok" else []
    fact = f"THE DATA IS ONLY ON THIS MACHINE: the DVC remote `{where.name}` is {where.folder}, and"
    return [Item(f"{fact} goes when the machine goes.", "wrong", f"{SET[:-1]}, then push again.")]


def set_default(root: Path, url: str, endpoint: str = "") -> list[Item]:
    """Makes `url` the default remote in .dvc/config; every old remote stays under its name.

    Raises:
        UserError: for an address that carries credentials, lies inside the project or is none.
    """
    _require_address(root, url, endpoint)
    found, before = remotes(root)
    same = [remote.name for remote in found if (remote.url, remote.endpoint) == (url, endpoint)]
    name = same[0] if same else _free_name(url, {remote.name for remote in found})
    _write(root, Remote(name, url, endpoint))
    at = f" at {endpoint}" if endpoint else ""
    items = [Item(f"DVC's default remote is now `{name}`: {url}{at} (not contacted yet).")]
    if before and before != name:
        items.append(Item(f"The remote `{before}` stays; `dvc push -r {before}` still uses it."))
    cure = "Run `lifeboat push`, which commits .dvc/config and sends the data."
    return [*items, Item("Nothing has been sent to it.", "warning", cure)]


def _require_address(root: Path, url: str, endpoint: str) -> None:
    for address in (url, endpoint):
        parts = urlsplit(address)
        user_is_secret = parts.username and parts.scheme not in ("ssh", "sftp")
        if parts.password or user_is_secret or re.search(r"(?i)(key|secret|token|sig)=", address):
            raise UserError("The address carries credentials; it was not stored.", _KEYS_BELONG)
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise UserError(f"--endpoint expects an http(s) address, found {endpoint!r}.")
    if not url or (endpoint and not url.startswith("s3://")):
        raise UserError(f"Expected an address such as s3://bucket/path, found {url!r}.")
    remote = Remote("", url)
    if not remote.is_folder and not url.isascii():
        cure = "Use letters from a to z, digits, `-`, `_` and `/` in it."
        raise UserError(f"DVC cannot send to an address with other letters: {url!a}.", cure)
    if remote.is_folder and not remote.folder.is_absolute():
        raise UserError(f"Expected a URL or an absolute path, found {url!r}.")
    if remote.is_folder and remote.folder.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"{url} lies inside the project: a clone would look for it inside itself.",
            "Choose a folder outside, or a bucket.",
        )


def _free_name(url: str, taken: set[str]) -> str:
    stem = "folder" if Remote("", url).is_folder else urlsplit(url).scheme
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _write(root: Path, remote: Remote) -> None:
    """What `dvc remote add --default` and `modify` write, in one step: all of it or nothing."""
    from dvc.config import ConfigError

    try:
        options = {"endpointurl": remote.endpoint} if remote.endpoint else {}
        with configuration(root).edit("repo") as opened:
            config = cast("dict[str, dict[str, Any]]", opened)
            config["remote"].setdefault(remote.name, {"url": remote.url, **options})
            config["core"]["remote"] = remote.name
    except (ConfigError, OSError) as error:
        raise UserError(f"DVC's configuration could not be written: {error}") from error


def _device(path: Path) -> int:
    return abilities.existing(path).stat().st_dev
