"""Names of classes and functions that mean the same in every process, and the way back to a class.

A stage that is run with `python -m` is called `__main__` there; here it keeps its own name.
"""

import importlib
import re
import sys
from dataclasses import dataclass, fields, is_dataclass
from types import ModuleType
from typing import Any

_NAME = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")


def module_of(thing: Any) -> str:
    """Name of the module in which a class or function was defined."""
    spec = _main_spec() if thing.__module__ == "__main__" else None
    return spec.name if spec else thing.__module__


def name_of(thing: Any) -> str:
    """Module and qualified name of a class or function: `package.module:Outer.Inner`."""
    return f"{module_of(thing)}:{thing.__qualname__}"


def find(name: str) -> Any:
    """The class or function of a name as `name_of` gives it.

    Raises:
        ValueError: where it is not there.
    """
    module, _, qualified = name.partition(":")
    found = _inside(_import(module), qualified)
    if found is None:
        raise ValueError(f"{name!r:.80} is not there")
    return found


def is_record(kind: type) -> bool:
    """Whether a class is a dataclass or a named tuple: values under names."""
    return is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def names_in(kind: Any) -> list[str]:
    """Names of the values of a dataclass or named tuple, in order."""
    return [one.name for one in fields(kind)] if is_dataclass(kind) else list(kind._fields)


@dataclass(frozen=True)
class Types:
    """The classes that a file may name, and nothing else: files come from elsewhere.

    Attributes:
        packages: top-level packages of ours, of whose modules every dataclass and named tuple is
            one.
    """

    packages: tuple[str, ...]

    def find(self, name: str) -> type:
        """The class of a name as `name_of` gives it.

        Raises:
            ValueError: for a class that may not be restored, or is not there.
        """
        match = _NAME.fullmatch(name)
        if not match or match[1].split(".")[0] not in self.packages or "__" in match[1]:
            raise ValueError(f"{name!r:.80} is no class of {', '.join(self.packages)}")
        found = _inside(_import(match[1]), match[2])
        if not (isinstance(found, type) and is_record(found) and name_of(found) == name):
            raise ValueError(f"{name!r:.80} is neither a dataclass nor a named tuple of ours")
        return found

    def may_restore(self, kind: type) -> bool:
        """Whether the values of a class can be written, as they can be restored."""
        if not is_record(kind) or (is_dataclass(kind) and not all(f.init for f in fields(kind))):
            return False
        try:
            return self.find(name_of(kind)) is kind
        except ValueError:
            return False


def _main_spec() -> Any:
    return getattr(sys.modules.get("__main__"), "__spec__", None)


def _import(module: str) -> ModuleType:
    spec = _main_spec()
    if spec and spec.name == module:
        return sys.modules["__main__"]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"the module {module} is not there: {error}") from None


def _inside(module: ModuleType, qualified: str) -> Any:
    """What a module defines under a name, through classes only; None where there is nothing."""
    found: Any = module
    for part in qualified.split("."):
        if not isinstance(found, type) and found is not module:
            return None
        found = vars(found).get(part)
    return found
