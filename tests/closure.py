"""The package files that a stage imports, found in the source and not by running it."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"


def import_closure(module: str) -> set[str]:
    """Files of the packages that importing `module` can reach, relative to the project's root."""
    found: set[str] = set()
    pending = [module]
    while pending:
        path = _file(pending.pop())
        if path is None or str(path.relative_to(ROOT)) in found:
            continue
        found.add(str(path.relative_to(ROOT)))
        pending += imports_of(path)
        pending += _parents(path)
    return found


def code_of(module: str) -> list[str]:
    """What dvc.yaml lists of the source for a stage: rooms as folders, modules of stages as files.

    `lifeboat/stage` is first, then rooms by name, then the modules.
    """
    parts = [Path(name).parts for name in import_closure(module)]
    rooms = {"/".join(one[:3]) for one in parts if len(one) > 3 and one[2] != "stages"}
    modules = {"/".join(one) for one in parts if one[2] == "stages" and one[-1] != "__init__.py"}
    return sorted(rooms, key=lambda room: (room.startswith("src/back"), room)) + sorted(modules)


@cache
def _file(module: str) -> Path | None:
    base = SOURCE / Path(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _parents(path: Path) -> list[str]:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return [".".join(parts[:n]) for n in range(1, len(parts))]


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Modules of ours that a file imports, also inside of its functions."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(name for name in names if name.split(".")[0] in ("backtracking", "lifeboat"))
