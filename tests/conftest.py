"""One thread for every test: two threads on a busy machine wait for one another.

beartype comes before nnsight, which gives every object methods that beartype can't hash.

What is imported and collected is not garbage until the end: the collector is off until all is
collected, and then leaves it out.
"""

import atexit
import gc
import os

gc.disable()
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json  # noqa: E402
from collections.abc import Generator  # noqa: E402
from pathlib import Path  # noqa: E402

import beartype  # noqa: E402, F401
import checked  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402
from marked import COLLECTED, row  # noqa: E402

jaxtyping.jaxtyped = checked.jaxtyped  # for all that is imported from here on

TRIED = Path(__file__).parents[1] / "logs" / "kinds.json"
"""What tests of kinds saw; `python -m backtracking.report.reliability` takes it into docs/."""

FIRST = (
    *("test_migration.py", "test_faults.py", "test_tiny.py", "test_overlays.py", "test_dvc.py"),
    *("test_cluster.py", "test_domains.py"),
)
"""Files that take minutes, the longest first: whoever got one last would end alone. The second and
the fourth need no study, which the first is making. The scheduler gives the third to who has the
first, so that it is a short one."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first."""
    config.stash[COLLECTED] = list(items)
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))


def pytest_collection_finish() -> None:
    """From here on the garbage collector looks at what tests make, and at nothing before it."""
    gc.freeze()
    gc.enable()
    atexit.register(gc.unfreeze)


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    """The folder of the real traces that `MATS_TRACES` names, by default beside the checkout.

    A test that asks for it is skipped where there is none, or fails with `MATS_REQUIRE_TRACES=1`.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "traces"
    found = Path(os.environ.get("MATS_TRACES") or beside)
    if not found.is_dir():
        say = pytest.fail if os.environ.get("MATS_REQUIRE_TRACES") == "1" else pytest.skip
        say(f"no shared traces in {found}: name their folder by MATS_TRACES")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test of a kind says of which, what it says, and with which member."""
    report = yield
    if report.when == "call" and (tried := row(item)):
        report.user_properties.append(
            ("tried", json.dumps({item.nodeid: {**tried, "passed": report.passed}}))
        )
    return report


class Tried:
    """Keeps what tests of kinds saw, of all runs since the file was last removed."""

    def __init__(self) -> None:
        self.by_test: dict[str, dict[str, object]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == "tried":
                self.by_test |= json.loads(str(value))

    def pytest_sessionfinish(self) -> None:
        if self.by_test:
            kept = json.loads(TRIED.read_text()) if TRIED.is_file() else {}
            TRIED.parent.mkdir(exist_ok=True)
            TRIED.write_text(json.dumps(kept | self.by_test, indent=1, sort_keys=True) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Where tests are shared out among processes, the one that has all reports keeps them."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Tried())
