"""The one store of expensive work: each piece is made once, and found again by what it depends on.

A unit of an out lies in `.cache/store/<out>/`, outside every out, so that DVC never deletes it, and
stays there until the store is pruned. Its key is the content of the inputs, the versions of the
libraries that compute, and the code behind it: an edited docstring changes no key, an edited
constant those of all that imports it. A killed run loses the unit in hand, and several processes
share the work.
"""

import contextlib
import functools
import hashlib
import inspect
import platform
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, Generic, TypeVar

from lifeboat.stage.claims import claimed
from lifeboat.stage.content import Contents
from lifeboat.stage.errors import UserError
from lifeboat.stage.fingerprint import code_of
from lifeboat.stage.names import Types, module_of, name_of
from lifeboat.stage.pack import FORMAT, pack, read, write
from lifeboat.stage.shelf import Shelf, store
from lifeboat.stage.steps import Steps

R = TypeVar("R")

LIBRARIES = ("torch", "transformers", "numpy")
"""Libraries whose versions the last bits of a result depend on."""

PAID = "paid"
"""The folder of the store for what money was paid for: of no out, and never pruned."""

_OUT = re.compile(r"\w[\w.@-]*(/\w[\w.@-]*)*")
_KEY = re.compile(r"[0-9a-f]{64}")


class Units:
    """The units of a project.

    Args:
        root: the project.
        packages: top-level packages of ours: their code is part of keys, and their dataclasses and
            named tuples may stand in units.
    """

    def __init__(self, root: Path, packages: Sequence[str]) -> None:
        self.store = store(root)
        self.types = Types(tuple(packages))
        self._code = code_of(tuple(packages))
        self._contents = Contents(self._code)
        self._shelves: dict[str, Shelf] = {}

    def key(self, make: Callable[..., Any], *inputs: Any) -> str:
        """The key of what a function makes of its inputs.

        Args:
            make: a function or method of our packages, or a `functools.partial` of one, whose
                arguments are inputs. It may not be nested in a function, where it could see more
                than it is given.
            inputs: what else the result depends on.

        Raises:
            TypeError: for another `make`, and for an input without content of its own.
        """
        function, arguments = _taken_apart(make)
        module = module_of(function)
        if module not in self._code:
            ours = ", ".join(self._code.packages)
            raise TypeError(f"{name_of(function)} is not defined in a module of {ours}.")
        named = sorted(arguments.items()) + [("inputs", inputs)]
        digests = [f"{name} {self._contents.digest(one, name).hex()}" for name, one in named]
        code = self._code.fingerprint(module)
        lines = [FORMAT, name_of(function), code, *_versions(), *digests]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def get(self, out: str, key: str, make: Callable[[], R]) -> R:
        """What `make` returns, made only if no whole unit has it.

        It always is what was read back from the unit, so that a run that finds its units computes
        on the same bytes, in the same layout, as the run that made them.

        Args:
            out: path of the out that it is for, relative to the project.
            key: as `key` gives it.
            make: makes a value that `pack.pack` can write.

        Raises:
            UserError: for an out or a key that is no plain name, where the unit cannot be written,
                and where a file of the store holds what no unit may.
            TypeError: where the value is of another type.
        """
        if not _KEY.fullmatch(key):
            raise UserError(f"{key!r:.80} is not the key of a unit.", "Take it from `Units.key`.")
        shelf = self._shelf(out)
        path = shelf.find(key)
        if path is None:
            with claimed(shelf.folder, key):
                # Another process may have made it while this one waited.
                path = shelf.find(key) or self._made(shelf, key, make)
        return read(path, self.types)

    def bytes_of(self, key: str, make: Callable[[], Any], *inputs: Any) -> bytes:
        """The bytes of a unit, made on a machine that keeps none; `add` takes them.

        Args:
            key: as the machine that keeps the unit has it.
            make, inputs: as of `key`.

        Raises:
            UserError: where the key is another one here.
        """
        if self.key(make, *inputs) != key:
            raise UserError(
                f"{name_of(_taken_apart(make)[0])} has other inputs on {platform.node()} than where"
                " it was sent from: files that it reads differ.",
                "Let all machines see one folder of the project, or leave this one out.",
            )
        return b"".join(pack(make(), self.types))

    def add(self, out: str, key: str, data: bytes) -> None:
        """Keeps a unit whose bytes were made elsewhere.

        Raises:
            UserError: where the disk is full or the folder may not be written.
        """
        shelf = self._shelf(out)
        shelf.discard(key)
        shelf.add(key, lambda fresh: fresh.write_bytes(data))

    def has(self, out: str, key: str) -> bool:
        """Whether a whole unit is there; arguments as of `get`."""
        return self._shelf(out).find(key) is not None

    def resume(self, out: str, key: str, make: Callable[[Steps], R]) -> R:
        """As `get`, for long work that keeps its state now and then, and goes on from there.

        The steps are removed once the unit stands.
        """
        steps = Steps(self._shelf(out), key, self.types)
        found = self.get(out, key, lambda: make(steps))
        steps.clear()
        return found

    def _made(self, shelf: Shelf, key: str, make: Callable[[], object]) -> Path:
        shelf.discard(key)
        value = make()
        return shelf.add(key, lambda fresh: write(fresh, value, self.types))

    def _shelf(self, out: str) -> Shelf:
        if not _OUT.fullmatch(out):
            raise UserError(
                f"{out!r:.80} is not the path of an out.",
                "Name it as dvc.yaml does: relative to the project, with forward slashes.",
            )
        if out not in self._shelves:
            self._shelves[out] = Shelf(self.store / out)
        return self._shelves[out]


@dataclass(frozen=True)
class Kept(Generic[R]):
    """A job that is loaded where a unit has what it returns, and is done otherwise.

    Attributes:
        units: the store.
        out: path of the out that the job works for, relative to the project.
        key: of the unit.
        job, inputs: as `make` and `inputs` of `Units.key`.
    """

    units: Units
    out: str
    key: str
    job: Callable[[], R]
    inputs: tuple[Any, ...] = ()

    def __call__(self) -> R:
        return self.units.get(self.out, self.key, self.job)


def kept(units: Units, out: str, job: Callable[[], R], *inputs: Any) -> Kept[R]:
    """A job with its unit.

    The key is computed at once, so that an input that no key can be made of is refused before any
    job begins. Give such jobs to `run_side_by_side`.

    Args:
        units, out, job, inputs: see `Kept`.

    Raises:
        TypeError: as `Units.key`.
    """
    return Kept(units, out, units.key(job, *inputs), job, inputs)


def origin(packages: Sequence[str]) -> list[str]:
    """What results depend on besides inputs: versions of libraries, and the source of packages."""
    return [*_versions(), f"code {code_of(tuple(packages)).sha256}"]


def _taken_apart(make: Callable[..., Any]) -> tuple[FunctionType, dict[str, Any]]:
    """The function behind `make`, and the arguments that it has been given, by name."""
    given = make if isinstance(make, partial) else partial(make)
    function, arguments = given.func, given.args
    if isinstance(function, MethodType):
        function, arguments = function.__func__, (function.__self__, *arguments)
    function = inspect.unwrap(function)
    is_named = isinstance(function, FunctionType) and "<" not in function.__qualname__
    if not isinstance(function, FunctionType) or not is_named:
        raise TypeError(
            f"{function!r:.80} has no key of its own: give a function that a module defines by "
            "`def`, not inside another one, or a `functools.partial` of it."
        )
    bound = inspect.signature(function).bind_partial(*arguments, **given.keywords)
    return function, bound.arguments


@functools.cache
def _versions() -> tuple[str, ...]:
    found = [f"python {sys.version_info.major}.{sys.version_info.minor}"]
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return tuple(found)
