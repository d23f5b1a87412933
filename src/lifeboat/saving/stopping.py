"""Running stages asked to stop where everything done so far is saved.

DVC tells every command that it runs which stage it is, and of which project, by DVC_STAGE and
DVC_ROOT; a queued experiment's DVC_ROOT is the live project. Between two stages none runs, and DVC
is about to begin one: so the end of DVC itself is waited for.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lifeboat.deadlines import Deadline
from lifeboat.items import Item

if TYPE_CHECKING:
    from psutil import Process

_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish")
_RUN_STAGES = {"repro", "run", "exec-run", "queue-worker"}
"""The words by which a `dvc` is one that runs stages: of `repro`, of experiments, of a queue."""

_POLL_S = 0.2


@dataclass
class Stopping:
    """Stages that were asked to stop, and may still be finishing the piece in hand.

    A DVC that is between two stages, or goes on after a failed one, begins others; they are asked
    in their turn. It is asked itself where it begins none in half of the time: what it does
    between stages it has to do again. A queue's worker is asked at once; it ends its experiment.

    Attributes:
        root: the project.
        asked: the names of the stages that were asked, by process.
        told: the processes of DVC that were asked.
        met: whether DVC was at work.
    """

    root: Path
    asked: dict[int, str] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    met: bool = False

    def wait(self, deadline: Deadline) -> list[Item]:
        """What became of them and of DVC until the deadline; nothing is killed."""
        half = deadline.sooner(deadline.left / 2) if not deadline.is_never else deadline
        running, at_work = self._ask()
        while (running or at_work) and not deadline.passed:
            time.sleep(min(_POLL_S, deadline.left))
            running, at_work = self._ask(urgent=half.passed)
        late = sorted(set(running))
        ended = sorted(set(self.asked.values()) - set(late))
        items = [Item(f"Stopped where their work is saved: {', '.join(ended)}.")] if ended else []
        if late:
            fact = f"Still running when the time for it was up: {', '.join(late)}"
            items.append(Item(f"{fact}; what they have in hand is not saved.", "warning"))
        elif at_work:
            fact = "DVC is still running when the time for it was up, and may begin a stage."
            items.append(Item(fact, "warning", "Interrupt it where it was started (Ctrl-C)."))
        none = "DVC ended between two stages." if self.met else "No stage was running."
        return items or [Item(none)]

    def _ask(self, *, urgent: bool = False) -> tuple[list[str], bool]:
        """The stages that run now, and whether DVC is at work; who was not asked is asked."""
        makers, running = runners(self.root), stages(self.root)
        for process, name in running:
            if process.pid not in self.asked:
                self.asked[process.pid] = name
                _terminate(process)
        for process, is_queue in makers:
            if process.pid not in self.told and (is_queue or (urgent and not running)):
                self.told.add(process.pid)
                _terminate(process)
        self.met = self.met or bool(makers)
        return [name for _process, name in running], bool(makers)


def ask(root: Path) -> Stopping:
    """Sends SIGTERM to the running stages of this project, also of its queued experiments.

    They finish the piece in hand, if they have checkpoints, and exit 75.
    """
    stopping = Stopping(root.resolve())
    stopping._ask()
    return stopping


def runners(root: Path) -> list[tuple["Process", bool]]:
    """The processes of DVC that run this project's stages, and which are workers of a queue."""
    import psutil

    found: list[tuple[Process, bool]] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            start = next((n for n, word in enumerate(words) if _is_dvc(word)), len(words))
            said = _RUN_STAGES.intersection(words[start:])
            if said and _is_of(Path(process.cwd()), root.resolve()):
                found.append((process, "queue-worker" in said))
    return found


def _is_dvc(word: str) -> bool:
    """Whether a word of a command is DVC: a script, a module or the file of one."""
    return Path(word).name == "dvc" or word.endswith("/dvc/__main__.py")


def _is_of(folder: Path, root: Path) -> bool:
    """Whether DVC works in a folder on this project, or on an experiment of it."""
    of = next((each for each in (folder, *folder.parents) if (each / ".dvc").is_dir()), None)
    return of == root or folder.is_relative_to(root / ".dvc" / "tmp")


def _terminate(process: "Process") -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        process.terminate()


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
