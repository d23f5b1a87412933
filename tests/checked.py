"""Types at run time: by jaxtyping where a signature has shapes, else by the type checker alone.

jaxtyping binds the arguments of every call, and checks them before it and after: names of axes need
that, and nothing else does.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping

_by_jaxtyping = jaxtyping.jaxtyped


def jaxtyped(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What `--jaxtyping-packages` puts before every function and class of a module."""

    def check(one: Any) -> Any:
        if inspect.isclass(one) and not dataclasses.is_dataclass(one):
            return one
        function = one.__init__ if inspect.isclass(one) else one
        if any(map(has_shapes, getattr(function, "__annotations__", {}).values())):
            return _by_jaxtyping(one, typechecker=typechecker)
        if function is one:
            return typechecker(one)
        one.__init__ = typechecker(function)
        return one

    return check


def has_shapes(annotation: Any) -> bool:
    """Whether a type names axes somewhere; of one that is still text, whether it may."""
    if isinstance(annotation, str):
        return "[" in annotation
    if isinstance(annotation, list):  # the arguments of a `Callable`
        return any(map(has_shapes, annotation))
    if inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return any(map(has_shapes, get_args(annotation)))
