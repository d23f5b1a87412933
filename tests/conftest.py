"""One thread for every test: two threads on a busy machine wait for one another.

beartype comes before nnsight, which gives every object methods that beartype can't hash.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import beartype  # noqa: E402, F401
import pytest  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The pipeline's tests first: they take minutes, and whoever got them last would end alone."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts)
