"""Whether the project can run here and be saved: facts, verdicts, cures, within ten seconds.

Everything is looked at at once. What asks somebody else, a driver, git's remote, DVC's remote, a
clock, is a process or a thread with a time limit, so that nobody's silence holds up the rest. A
project adds checks of its own by `checks` in its contract.
"""

import contextlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lifeboat import project
from lifeboat.deadlines import Deadline, Later
from lifeboat.doctor import clock, device, disk, environment, folders, links, probing, repository
from lifeboat.doctor.device import Device
from lifeboat.doctor.links import Links
from lifeboat.items import Item
from lifeboat.remotes import remote
from lifeboat.stage.errors import UserError
from lifeboat.steps import Steps

NETWORK_S = 4.5
"""Seconds in which a remote has to answer."""
LOADED_S = 8.0
"""Seconds in which torch has to load and the driver to answer, and DVC and its remote."""
IN_ALL_S = 8.5
"""Seconds after which what has not answered is said not to have."""


@dataclass(frozen=True)
class Machine:
    """What the checks of a project may ask of this machine.

    Attributes:
        linking: how DVC's cache and the workspace will be known to share bytes.
        asked: what torch and the driver will have said; None where torch is not installed.
        deadline: when that has to be.
    """

    linking: Later[Links]
    asked: Later[Device | None] | None
    deadline: Deadline

    @property
    def links(self) -> Links:
        """How DVC's cache and the workspace share bytes.

        Raises:
            UserError: where DVC's configuration cannot be read, or no file system answered in time.
        """
        if (found := self.linking.before(self.deadline)) is None:
            raise UserError("The disk did not say in time which links it has.")
        return found

    @property
    def device(self) -> Device | None:
        """What torch and the driver say; None where they do not, which is told elsewhere."""
        with contextlib.suppress(Exception):
            return self.asked.before(self.deadline) if self.asked else None
        return None


def examine(root: Path) -> list[Item]:
    """All facts, in the order in which one would mend them."""
    end, network, loaded = map(Deadline.after, (IN_ALL_S, NETWORK_S, LOADED_S))
    asked = Later(lambda: device.ask(root, loaded)) if _has_torch() else None
    machine = Machine(Later(lambda: links.look(root)), asked, loaded)
    checks: dict[str, Callable[[], list[Item]]] = {
        "Python and its packages": lambda: environment.items(root),
        "torch and the GPU": lambda: device_items(machine),
        "the disk": lambda: [*disk.items(root, machine.links), links.item(machine.links)],
        "what the disk can do": lambda: folders.items(root),
        **{f"`{name}`": partial(_own, name, root, machine) for name in _own_names(root)},
        "accounts": lambda: [environment.dotenv_item(root)],
        "git": lambda: repository.items(root, network),
        "DVC's remote": lambda: probing.items(root, loaded),
        "the clock": lambda: clock_items(root, network),
    }
    later = {about: Later(_readable(about, check)) for about, check in checks.items()}
    found: list[Item] = []
    for about, answer in later.items():
        told = answer.before(end)
        found += [_silent(about)] if told is None else told
    return found


def _has_torch() -> bool:
    """Whether torch is installed; one that cannot even be found tells why when it is asked."""
    with contextlib.suppress(Exception):
        return importlib.util.find_spec("torch") is not None
    return True


def device_items(machine: Machine) -> list[Item]:
    """torch, driver and GPU."""
    if machine.asked is None:
        return [Item("torch is not installed here.")]
    found = machine.asked.before(machine.deadline)
    if found is None:
        fact = "torch and the driver did not say within a few seconds what they have."
        cure = "Run it again; if `nvidia-smi` hangs as well, the driver is ill: rent another."
        return [Item(fact, "warning", cure)]
    return device.items(found)


def clock_items(root: Path, deadline: Deadline) -> list[Item]:
    """The clock beside a server's."""
    address = clock.server(remote.default(root), repository.push_url(root))
    return [clock.item(address, deadline)]


def _own_names(root: Path) -> tuple[str, ...]:
    """Checks of the project itself; none where its contract cannot be read, which is told."""
    with contextlib.suppress(UserError):
        return project.contract(root).checks
    return ()


def _own(name: str, root: Path, machine: Machine) -> list[Item]:
    """What a check of the project itself says."""
    return project.called(name)(root, machine)


def _silent(about: str) -> Item:
    fact = f"No answer about {about} within {IN_ALL_S:.0f} s: this machine is busy."
    return Item(fact, "warning", "Run it again when less else is running.")


def _readable(about: str, check: Callable[[], list[Item]]) -> Callable[[], list[Item]]:
    def look() -> list[Item]:
        steps = Steps()
        if found := steps.attempt(f"Looking at {about}", check):
            return found
        return [
            replace(one, cure=one.cure or "Mend that, then run it again.") for one in steps.items
        ]

    return look
