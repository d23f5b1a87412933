"""Records whose numbers have as many decimals as their computation supports."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")


def rounded(value: T, digits: int) -> T:
    """A record, or anything in one, with every float rounded.

    What is left agrees between machines, where the fits behind the numbers have converged to less
    than half of the last decimal.

    Args:
        value: record, list, tuple, mapping or plain value.
        digits: decimals.
    """
    found: Any = value
    if isinstance(value, float):
        # Adding 0 makes -0.0 a 0.0.
        found = round(value, digits) + 0.0
    elif is_dataclass(value) and not isinstance(value, type):
        names = [one.name for one in fields(value)]
        found = replace(value, **{name: rounded(getattr(value, name), digits) for name in names})
    elif isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        found = type(value)(rounded(one, digits) for one in value)
    elif isinstance(value, Mapping):
        found = {key: rounded(one, digits) for key, one in value.items()}
    return found
