"""Running stages asked to stop where everything done so far is saved.

DVC tells every command that it runs which stage it is, and of which project, by DVC_STAGE and
DVC_ROOT; a queued experiment's DVC_ROOT is the live project.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifeboat.deadlines import Deadline
from lifeboat.items import Item

if TYPE_CHECKING:
    from psutil import Process

_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish")
_POLL_S = 0.2


@dataclass
class Stopping:
    """Stages that were asked to stop, and may still be finishing the piece in hand.

    A repro that goes on after a failed stage begins others; they are asked in their turn.
    """

    root: Path
    asked: dict[int, str]

    def wait(self, deadline: Deadline) -> list[Item]:
        """What became of them until the deadline; nothing is killed."""
        if not self.asked:
            return [Item("No stage was running.")]
        running = self._ask()
        while running and not deadline.passed:
            time.sleep(min(_POLL_S, deadline.left))
            running = self._ask()
        late = sorted({self.asked[process.pid] for process in running})
        ended = sorted(set(self.asked.values()) - set(late))
        items = [Item(f"Stopped where their work is saved: {', '.join(ended)}.")] if ended else []
        if late:
            fact = f"Still running when the time for it was up: {', '.join(late)}"
            items.append(Item(f"{fact}; what they have in hand is not saved.", "warning"))
        return items

    def _ask(self) -> list["Process"]:
        """The stages that run now; those that nobody has asked are asked."""
        import psutil

        running = stages(self.root)
        for process, name in running:
            if process.pid not in self.asked:
                self.asked[process.pid] = name
                with contextlib.suppress(psutil.Error):
                    process.terminate()
        return [process for process, _name in running]


def ask(root: Path) -> Stopping:
    """Sends SIGTERM to the running stages of this project, also of its queued experiments.

    They finish the piece in hand, if they have checkpoints, and exit 75.
    """
    stopping = Stopping(root.resolve(), {})
    stopping._ask()
    return stopping


def stages(root: Path) -> list[tuple["Process", str]]:
    """The running stages of a project: of each the first process that is no shell, and its name."""
    import psutil

    found: dict[int, tuple[Process, str]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and (name := _stage(process, root.resolve())):
                found[process.pid] = (process, name)
    return [(one, name) for one, name in found.values() if not _has_maker(one, found)]


def _stage(process: "Process", root: Path) -> str:
    """The stage that a process is of; empty for a shell and for what is of no stage here."""
    variables = process.environ()
    name, project = variables.get("DVC_STAGE", ""), variables.get("DVC_ROOT", "")
    is_ours = bool(name and project) and Path(project).resolve() == root
    return name if is_ours and process.name() not in _SHELLS else ""


def _has_maker(process: "Process", found: dict[int, tuple["Process", str]]) -> bool:
    """Whether another process of the stage started this one."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return any(parent.pid in found for parent in process.parents())
    return False
