"""A project: where it stands, what it tells lifeboat of itself, its machine's name.

`[tool.lifeboat]` of pyproject.toml is the whole contract, and every key of it may be left out:

- `products`: folders in which the pipeline writes for git; their changes are committed on the
  branch, as `runs/`, where snapshots lie.
- `order`: how the paths of outs begin, in the order in which they leave a machine that goes: what
  is small and cannot be made again first. What is not named goes last.
- `snapshot`: further files that a snapshot copies, besides dvc.lock.
- `checks`: functions `package.module:function` of a project and a `lifeboat.doctor.doctor.Machine`,
  whose items `doctor` tells as well.
- `log_setup`, `log_results`: functions of a project, whose lines go into a new entry of the log.
- `opens`: the page to open once everything has run.
- `preload`: modules that stages are slow to import, and that are none of the project's; stages that
  call `lifeboat.stage.preloaded.hand_over` first find them imported while `reproduce` runs.
- `lock`, `install`: a file of pinned requirements, and the command that installs them.
"""

import contextlib
import hashlib
import importlib
import re
import secrets
import socket
import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lifeboat import reading
from lifeboat.stage import artifacts, claims
from lifeboat.stage.errors import UserError
from lifeboat.stage.shelf import store

__all__ = ["Contract", "contract", "machine_name", "nearest", "read_yaml", "store"]

RUNS = "runs/"
_ID = re.compile(r"[0-9a-f]{16}")
_naming = threading.Lock()


@dataclass(frozen=True)
class Contract:
    """What a project tells of itself: the keys above, empty where they are left out."""

    products: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    snapshot: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    log_setup: str = ""
    log_results: str = ""
    opens: str = ""
    preload: tuple[str, ...] = ()
    lock: str = ""
    install: str = ""

    def is_product(self, path: str) -> bool:
        """Whether the pipeline or a snapshot writes a file for git."""
        return path == "dvc.lock" or path.startswith((RUNS, *self.products))

    def rank(self, path: str) -> int:
        """What goes before what: the place in `order` of the path of an out or a file of one."""
        starts = enumerate(self.order)
        return next((n for n, start in starts if path.startswith(start)), self.bulk)

    @property
    def bulk(self) -> int:
        """The rank of what `order` does not name: large, and can be computed again."""
        return len(self.order)


def contract(root: Path) -> Contract:
    """The contract of a project; an empty one where it has no pyproject.toml.

    Raises:
        UserError: where it cannot be read, for a key that is none, and for a value of another type.
    """
    path = root / "pyproject.toml"
    try:
        table = tomllib.loads(reading.read(path).decode()).get("tool", {}).get("lifeboat", {})
    except FileNotFoundError:
        return Contract()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    where = f"{path}, section [tool.lifeboat]"
    if unknown := set(table) - {field.name for field in fields(Contract)}:
        known = ", ".join(field.name for field in fields(Contract))
        raise UserError(f"{where}: unknown keys {sorted(unknown)}.", f"Valid keys: {known}.")
    values: dict[str, Any] = {}
    for key, value in table.items():
        is_list = isinstance(getattr(Contract, key), tuple)
        texts = value if isinstance(value, list) else [value]
        if is_list != isinstance(value, list) or not all(isinstance(text, str) for text in texts):
            kind = "a list of texts" if is_list else "a text"
            raise UserError(f"{where}: `{key}` expects {kind}, found {value!r:.60}.")
        values[key] = tuple(texts) if is_list else value
    return Contract(**values)


def rank(root: Path) -> Callable[[str], int]:
    """`Contract.rank`; all paths are alike where the contract cannot be read, which others tell."""
    with contextlib.suppress(UserError):
        return contract(root).rank
    return Contract().rank


def called(name: str) -> Callable[..., Any]:
    """The function of a name such as `package.module:function`.

    Raises:
        UserError: where there is none.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        cure = "Mend [tool.lifeboat] in pyproject.toml, or install the project."
        raise UserError(f"`{name}` is no function: {error}.", cure) from error


def nearest(folder: Path) -> Path:
    """The DVC project that a folder lies in; the folder itself where it lies in none."""
    folder = folder.resolve()
    return next((one for one in (folder, *folder.parents) if (one / ".dvc").is_dir()), folder)


def read_yaml(path: Path) -> dict[str, Any]:
    """A file of keys and values, as plain dicts and lists.

    Raises:
        UserError: where it is missing or is none.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(artifacts.read_text(path))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.", "Restore it with `git checkout`.") from None
    except YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected keys with values, found {value!r:.60}.")
    return value


def machine_name(root: Path) -> str:
    """The name under which a machine's unfinished work lies in the remote.

    A random id kept in the store, and a hash of the host's name: machines that were started from
    one disk image have the same id, and usually not the same name. Where no id can be kept, it is
    a hash of the project's place.
    """
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f"{_id(store(root) / 'machine')}-{host}"


def _id(path: Path) -> str:
    """The id in a file, written there where it is missing; of several writers the first wins."""
    if found := _read_id(path):
        return found
    with contextlib.suppress(UserError), _naming, claims.claimed(path.parent, path.name):
        if not _read_id(path):
            artifacts.write_text(path, secrets.token_hex(8) + "\n")
    return _read_id(path) or hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]


def _read_id(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        if _ID.fullmatch(found := reading.read(path).decode().strip()):
            return found
    return ""
