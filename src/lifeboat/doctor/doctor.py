"""Whether the study can run here and be saved: facts, verdicts, cures, within ten seconds.

Everything is looked at at once. What asks somebody else, a driver, git's remote, DVC's remote, a
clock, is a process or a thread with a time limit, so that nobody's silence holds up the rest.
"""

from collections.abc import Callable
from pathlib import Path

from backtracking.models import memory
from lifeboat.deadlines import Deadline
from lifeboat.doctor import clock, device, disk, environment, links, probing, repository, services
from lifeboat.doctor.later import Later
from lifeboat.items import Item
from lifeboat.remotes import remote
from lifeboat.stage.errors import UserError

NETWORK_S = 4.5
"""Seconds in which a remote has to answer."""
LOADED_S = 8.0
"""Seconds in which torch has to load and the driver to answer, and DVC and its remote."""
IN_ALL_S = 8.5
"""Seconds after which what has not answered is said not to have."""


def examine(root: Path) -> list[Item]:
    """All facts, in the order in which one would mend them."""
    end, network, loaded = map(Deadline.after, (IN_ALL_S, NETWORK_S, LOADED_S))
    checks: dict[str, Callable[[], list[Item]]] = {
        "Python and its packages": lambda: environment.items(root),
        "torch and the GPU": lambda: device_items(root, loaded),
        "the disk": lambda: disk_items(root),
        "accounts": lambda: account_items(root),
        "git": lambda: repository.items(root, network),
        "DVC's remote": lambda: probing.items(root, loaded),
        "the clock": lambda: clock_items(root, network),
    }
    later = {about: Later(_readable(check)) for about, check in checks.items()}
    found = [(about, answer.before(end)) for about, answer in later.items()]
    return [
        item for about, answer in found for item in ([_silent(about)] if answer is None else answer)
    ]


def device_items(root: Path, deadline: Deadline) -> list[Item]:
    """torch, driver, GPU, and whether the study's models fit."""
    found = device.ask(root, deadline)
    if found is None:
        fact = "torch and the driver did not say within a few seconds what they have."
        cure = "Run it again; if `nvidia-smi` hangs as well, the driver is ill: rent another."
        return [Item(fact, "warning", cure)]
    return [*device.items(found), *memory.items(root, found)]


def disk_items(root: Path) -> list[Item]:
    """Room for the next run, and whether results take it once or twice."""
    kinds = links.look(root)
    return [*disk.items(root, kinds), links.item(kinds)]


def account_items(root: Path) -> list[Item]:
    """Caches and tokens, and who can read them."""
    return [
        services.cache_item(root),
        services.token_item(),
        services.tracking_item(),
        environment.dotenv_item(root),
    ]


def clock_items(root: Path, deadline: Deadline) -> list[Item]:
    """The clock beside a server's."""
    address = clock.server(remote.default(root), repository.push_url(root))
    return [clock.item(address, deadline)]


def _silent(about: str) -> Item:
    fact = f"No answer about {about} within {IN_ALL_S:.0f} s: this machine is busy."
    return Item(fact, "warning", "Run it again when less else is running.")


def _readable(check: Callable[[], list[Item]]) -> Callable[[], list[Item]]:
    def look() -> list[Item]:
        try:
            return check()
        except UserError as error:
            return [Item(str(error), "wrong", "Mend that, then run it again.")]
        except ImportError as error:
            return [Item(f"{error}.", "wrong", "Run `make install`.")]
        except OSError as error:
            return [Item(f"{error}.", "wrong", "Mend that, then run it again.")]

    return look
