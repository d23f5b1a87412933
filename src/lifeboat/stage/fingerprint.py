"""Fingerprints of code: of a module and of all of ours that it imports.

A fingerprint is of syntax trees, without comments, docstrings and layout. Imports are those that
are written down, inside functions and `TYPE_CHECKING` too; a module that is only named in a string
is not seen.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from lifeboat.stage.errors import UserError

_BODIES = ("body", "orelse", "finalbody")


@dataclass(frozen=True)
class _Parsed:
    """Hash of a module's tree, and the names that it imports, ours and others'."""

    sha256: str
    imports: frozenset[str]


class Code:
    """The modules of some packages, as their files were when this was made.

    Make it soon after they were imported: who edits a file while a stage runs does not change what
    that stage computes, so it must not change under which key that is kept.

    Args:
        packages: names of top-level packages or modules.

    Raises:
        UserError: where one is not there.
    """

    def __init__(self, packages: Sequence[str]) -> None:
        paths = {name: path for package in packages for name, path in _modules(package)}
        self.packages = tuple(packages)
        self._source_by_module = {name: path.read_bytes() for name, path in paths.items()}
        self._are_packages = {name for name, path in paths.items() if path.stem == "__init__"}
        self._parsed: dict[str, _Parsed] = {}
        self._fingerprints: dict[str, str] = {}

    def __contains__(self, module: str) -> bool:
        return module in self._source_by_module

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of all files, as they are."""
        digest = hashlib.sha256()
        for name, source in sorted(self._source_by_module.items()):
            digest.update(f"{name} {hashlib.sha256(source).hexdigest()}\n".encode())
        return digest.hexdigest()

    def closure(self, module: str) -> frozenset[str]:
        """The modules of ours that importing a module can reach, itself and packages included."""
        found, pending = set[str](), {module}
        while pending:
            name = pending.pop()
            if name in self and name not in found:
                found.add(name)
                pending |= self._parse(name).imports
            pending |= set(_parents(name)) - found
        return frozenset(found & self._source_by_module.keys())

    def fingerprint(self, module: str) -> str:
        """SHA-256 of the code that a module's results depend on, ours only."""
        if module not in self._fingerprints:
            names = sorted(self.closure(module))
            lines = (f"{name} {self._parse(name).sha256}\n" for name in names)
            self._fingerprints[module] = hashlib.sha256("".join(lines).encode()).hexdigest()
        return self._fingerprints[module]

    def _parse(self, module: str) -> _Parsed:
        if module not in self._parsed:
            tree = ast.parse(self._source_by_module[module])
            package = module if module in self._are_packages else module.rpartition(".")[0]
            imports = frozenset(_imports(tree, package))
            _strip_texts(tree)
            digest = hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass"))
            self._parsed[module] = _Parsed(digest.hexdigest(), imports)
        return self._parsed[module]


@functools.cache
def code_of(packages: tuple[str, ...]) -> Code:
    """The code of packages, read once in a process and its forks."""
    return Code(packages)


def _modules(package: str) -> Iterator[tuple[str, Path]]:
    """Names and files of a package's modules, without importing it."""
    spec: ModuleSpec | None = find_spec(package)
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        raise UserError(f"There is no package {package!r} here.", "Name an importable one.")
    for folder in map(Path, spec.submodule_search_locations or ()):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *(p for p in parts if p != "__init__")]), path
    if not spec.submodule_search_locations:
        yield package, Path(str(spec.origin))


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -(node.level - 1) or None] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _strip_texts(tree: ast.Module) -> None:
    """Takes docstrings out, those of attributes and constants included."""
    for node in ast.walk(tree):
        for name in _BODIES:
            body = getattr(node, name, None)
            if isinstance(body, list):
                setattr(node, name, [one for one in body if not _is_text(one)])


def _is_text(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False
