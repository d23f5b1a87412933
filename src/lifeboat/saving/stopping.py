"""Running stages asked to stop where everything done so far is saved."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifeboat.deadlines import Deadline
from lifeboat.items import Item

if TYPE_CHECKING:
    from psutil import Process

_MODULE = "backtracking.stages."
_POLL_S = 0.2


@dataclass
class Stopping:
    """Stages that were asked to stop, and may still be finishing the shard in hand.

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

    They finish the shard or step in hand, if they have checkpoints, and exit 75.
    """
    stopping = Stopping(root.resolve(), {})
    stopping._ask()
    return stopping


def stages(root: Path) -> list[tuple["Process", str]]:
    """The running stages of a project, and their names as one would call them."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            name = _stage(process.cmdline())
            if name and _belongs(Path(process.cwd()), root.resolve()):
                found.append((process, name))
    return found


def _stage(command: list[str]) -> str:
    """`extract base` of `python -m backtracking.stages.extract base`; empty for anything else."""
    for at, word in enumerate(command[:-1]):
        if word == "-m" and command[at + 1].startswith(_MODULE) and "python" in command[0]:
            names = [command[at + 1].removeprefix(_MODULE), *command[at + 2 :]]
            return " ".join(names)
    return ""


def _belongs(folder: Path, root: Path) -> bool:
    return folder == root or folder.is_relative_to(root / ".dvc" / "tmp")
