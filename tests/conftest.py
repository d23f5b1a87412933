"""One thread for every test: two threads on a busy machine wait for one another.

beartype comes before nnsight, which gives every object methods that beartype can't hash.
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import beartype  # noqa: E402, F401
import pytest  # noqa: E402

FIRST = ("test_migration.py", "test_domains.py", "test_tiny.py", "test_dvc.py", "test_faults.py")
"""Files that take minutes, the longest first: whoever got one last would end alone. The scheduler
gives the third to who has the first, so that it is a short one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the second needs no study that the first is making."""
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    """The folder of the real traces that `MATS_TRACES` names, by default beside the checkout.

    A test that asks for it is skipped where there is none, or fails with `MATS_REQUIRE_TRACES=1`.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "traces"
    found = Path(os.environ.get("MATS_TRACES", beside))
    if not found.is_dir():
        say = pytest.fail if os.environ.get("MATS_REQUIRE_TRACES") == "1" else pytest.skip
        say(f"no shared traces in {found}: name their folder by MATS_TRACES")
    return found
