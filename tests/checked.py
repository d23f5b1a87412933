"""Types at run time: by jaxtyping where a signature has shapes, else by the type checker alone.

jaxtyping binds the arguments of every call, and checks them before it and after: names of axes need
that, and nothing else does.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any, get_args

import jaxtyping

_by_jaxtyping = jaxtyping.jaxtyped

_MADE: dict[Any, tuple[Any, list[str]]] = {}
"""The checks of inner functions by their code, and the name under which they hold the function."""


def jaxtyped(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What `--jaxtyping-packages` puts before every function and class of a module."""

    def check(one: Any) -> Any:
        if inspect.isclass(one) and not dataclasses.is_dataclass(one):
            return one
        function = one.__init__ if inspect.isclass(one) else one
        if any(map(has_shapes, getattr(function, "__annotations__", {}).values())):
            return _by_jaxtyping(one, typechecker=typechecker)
        if function is one:
            return _inner(one, typechecker) if "<locals>" in one.__qualname__ else typechecker(one)
        one.__init__ = typechecker(function)
        return one

    return check


def _inner(function: Any, typechecker: Callable[[Any], Any]) -> Any:
    """A function that is made in every call of another: its checks are written once."""
    code, hints = function.__code__, function.__annotations__
    if (code, typechecker) not in _MADE:
        # Of a twin that holds nothing, so that nothing is held for good.
        empty = tuple(CellType() for _ in code.co_freevars)
        twin = FunctionType(code, function.__globals__, code.co_name, None, empty)
        twin.__annotations__, twin.__qualname__ = dict(hints), function.__qualname__
        texts = any(isinstance(hint, str) for hint in hints.values()) or "ForwardRef" in str(hints)
        checked = None if texts else typechecker(twin)
        named = getattr(checked, "__kwdefaults__", None) or {}
        places = [name for name, value in named.items() if value is twin]
        _MADE[code, typechecker] = checked, places
    made, places = _MADE[code, typechecker]
    if len(places) != 1 or made.__annotations__ != hints:
        return typechecker(function)
    again = FunctionType(made.__code__, made.__globals__, made.__name__)
    again.__kwdefaults__ = {**made.__kwdefaults__, places[0]: function}
    again.__dict__.update(made.__dict__)
    return functools.update_wrapper(again, function)


def has_shapes(annotation: Any) -> bool:
    """Whether a type names axes somewhere; of one that is still text, whether it may."""
    if isinstance(annotation, str):
        return "[" in annotation
    if isinstance(annotation, list):  # the arguments of a `Callable`
        return any(map(has_shapes, annotation))
    if inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return any(map(has_shapes, get_args(annotation)))
