"""The Python environment against the pinned set of packages."""

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from lifeboat import project, reading, surroundings
from lifeboat.items import Item
from lifeboat.stage import failures


def packages() -> dict[str, str]:
    """Version by name of every installed distribution, names normalised, in order."""
    found = {_normalised(d.name): d.version for d in metadata.distributions() if d.name}
    return dict(sorted(found.items()))


def pinned(lock: Path) -> dict[str, str]:
    """Version by name of what a lock file asks for on this machine, in the file's order."""
    wanted = {}
    for line in lock.read_text().splitlines():
        if not re.match(r"[A-Za-z0-9]", line) or "==" not in line:
            continue
        requirement = Requirement(line.rstrip(" \\"))
        if requirement.marker is None or requirement.marker.evaluate():
            wanted[_normalised(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return wanted


def items(root: Path) -> list[Item]:
    """Python and the virtual environment, and the packages that the project pins, if any."""
    told = project.contract(root)
    python = Item(f"Python {platform.python_version()} ({sys.executable})")
    pinned_items = [packages_item(root, told.lock, told.install)] if told.lock else []
    return [python, venv_item(root), *path_items(), *pinned_items]


def venv_item(root: Path) -> Item:
    """Whether the project's own virtual environment is the one that runs."""
    if Path(sys.prefix).resolve() == (root / ".venv").resolve():
        return Item("The project's own environment, .venv, is in use.")
    return Item(
        f"The environment in use is {sys.prefix}, not the project's .venv.",
        "warning",
        "Activate .venv (`source .venv/bin/activate`).",
    )


def path_items() -> list[Item]:
    """What PYTHONPATH puts before the packages of this environment; nothing where it does not."""
    if not (folders := failures.shadowing()):
        return []
    fact = f"PYTHONPATH puts packages of {', '.join(folders)} before those of this environment."
    return [Item(fact, "warning", "Run `unset PYTHONPATH`; our own verbs leave them out.")]


def packages_item(root: Path, lock: str, install: str) -> Item:
    """Whether what is installed is what a lock file pins, and how that is installed."""
    if not (root / lock).is_file():
        return Item(f"{lock} is missing.", "wrong", f"`git checkout {lock}`.")
    cure = f"Run `{install or f'pip install -r {lock}'}`."
    wanted, found = pinned(root / lock), packages()
    missing = [name for name in wanted if name not in found]
    other = [f"{n} {found[n]}, not {v}" for n, v in wanted.items() if found.get(n, v) != v]
    if missing:
        return Item(_count(missing, "pinned packages are missing"), "wrong", cure)
    if other:
        return Item(_count(other, "packages differ from the pinned set"), "warning", cure)
    return Item(f"All {len(wanted)} pinned packages are installed in their pinned versions.")


def dotenv_item(root: Path) -> Item:
    """Whether `.env`, where there is one, is text, closed to others and kept out of git."""
    path = root / ".env"
    try:
        data, mode = reading.read(path), path.stat().st_mode
    except FileNotFoundError:
        return Item("There is no .env, so no account is set up there; none is needed by default.")
    except OSError as error:
        fact = f".env cannot be read, so no account is set up: {error.strerror}."
        return Item(fact, "wrong", "Make it a file that this user can read: `ls -ld .env`.")
    if os.name == "posix" and mode & 0o077:
        return Item(".env can be read by other users.", "warning", "Run `chmod 600 .env`.")
    if not surroundings.is_plain(data):
        fact = ".env is not UTF-8, or has a mark of it in front: not every program reads it."
        return Item(fact, "warning", "Save it as UTF-8 without a byte order mark.")
    return Item(".env is readable by its owner only.")


def _count(names: list[str], what: str) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} {what}: {', '.join(names[:5])}{more}."


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
