"""Members of a family of tests: a few in every run, all of them in the whole one."""

from collections.abc import Iterable
from typing import Any

import pytest


def few(names: Iterable[str], n: int = 1) -> list[Any]:
    """The first `n` as they are, and the others as slow ones."""
    return [
        name if number < n else pytest.param(name, marks=pytest.mark.slow)
        for number, name in enumerate(names)
    ]
