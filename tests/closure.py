"""The package files that a stage imports, found in the source and not by running it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"


def import_closure(module: str) -> set[str]:
    """Files of the package that importing `module` can reach, relative to the project's root."""
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


def _file(module: str) -> Path | None:
    base = SOURCE / Path(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _parents(path: Path) -> list[str]:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def imports_of(path: Path) -> list[str]:
    """Modules of ours that a file imports, also inside of its functions."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] in ("backtracking", "lifeboat")]
