"""Machines that come and go: clones with caches of their own, a run, a watch, and sudden ends."""

import contextlib
import hashlib
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import psutil
from project import call, environment, stages_run
from ruamel.yaml import YAML

GRACE_S = 2.0
"""Seconds between SIGTERM and SIGKILL."""

TARGET = "report"
"""Everything but smoke, which belongs to a machine, is upstream of it."""


def make_origin(folder: Path, project: Path, to_come: Collection[str]) -> Path:
    """A bare git remote with a project, whose DVC remote is the folder `remote` beside it.

    Args:
        folder: for both.
        project: a repository to clone, in which every stage ran.
        to_come: stages that never ran here: dvc.lock has no entry of them, git none of their
            results, and the remote nothing that they made.
    """
    start = folder / "start"
    call(folder, "git", "clone", "-q", str(project), str(start))
    yaml = YAML()
    lock = yaml.load((start / "dvc.lock").read_text())
    for stage in to_come:
        for out in lock["stages"].pop(stage)["outs"]:
            call(start, "git", "rm", "-rq", "--ignore-unmatch", "--cached", out["path"])
            if (start / out["path"]).is_dir():
                shutil.rmtree(start / out["path"])
            (start / out["path"]).unlink(missing_ok=True)
    with (start / "dvc.lock").open("w") as file:
        yaml.dump(lock, file)
    remote = str(folder / "remote")
    call(start, "dvc", "remote", "modify", "local", "url", remote)
    call(start, "git", "commit", "-qam", f"To come: {', '.join(to_come)}")
    call(start, "dvc", "cache", "dir", "--local", str(project / ".dvc" / "cache"))
    call(start, "dvc", "push", "-q")
    call(folder, "git", "clone", "-q", "--bare", str(start), str(folder / "origin.git"))
    return folder / "origin.git"


class Machine:
    """A clone in an empty folder; of all others it has only what git and the remote have.

    A context, at whose end nothing of it runs any more.

    Args:
        origin: the git remote.
        name: of the folder.
    """

    def __init__(self, origin: Path, name: str) -> None:
        self.origin = origin
        self.root = origin.parent / name
        self._env = environment(DVC_SITE_CACHE_DIR=str(origin.parent / f"{name}.site"))
        self._logs: dict[str, Path] = {}
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        call(origin.parent, "git", "clone", "-q", str(origin), str(self.root))

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(grace_s=0)

    @property
    def store(self) -> Path:
        """Its store."""
        return self.root / ".cache" / "store"

    def restore(self) -> str:
        """What `backtracking restore` says."""
        extra = {"DVC_SITE_CACHE_DIR": self._env["DVC_SITE_CACHE_DIR"]}
        return call(self.root, "backtracking", "--root", ".", "restore", check=False, extra=extra)

    def run(self, target: str = TARGET) -> None:
        """Starts `backtracking reproduce`, whose stages are forks of a process that it keeps."""
        self._start("repro", ["backtracking", "--root", ".", "reproduce", target])

    def watch(self, *options: str) -> None:
        """Starts `backtracking watch`."""
        self._start("watch", ["backtracking", "--root", ".", "watch", *options])

    def _start(self, name: str, command: list[str]) -> None:
        self._logs[name] = self.root.parent / f"{self.root.name}.{name}.log"
        with self._logs[name].open("wb") as log:
            self._started[name] = subprocess.Popen(
                command,
                cwd=self.root,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def said(self, name: str) -> str:
        """What `repro` or `watch` has printed so far."""
        return self._logs[name].read_text(errors="replace") if name in self._logs else ""

    @property
    def stages(self) -> list[str]:
        """The stages that the run has begun, in order."""
        return stages_run(self.said("repro"))

    def wait(self, name: str, seconds: float = 600) -> int:
        """The exit code of `repro` or `watch`."""
        return self._started[name].wait(seconds)

    def wait_until_said(self, name: str, words: str) -> None:
        """Returns when `repro` or `watch` has printed some words."""
        over = self._started[name].poll
        wait_until(lambda: words in self.said(name) or over() is not None, 120)
        assert words in self.said(name), self.said(name)

    def wait_for_stage(self, stage: str) -> None:
        """Returns when a stage has begun."""
        wait_until(lambda: stage in self.stages or self._started["repro"].poll() is not None, 300)
        assert stage in self.stages, self.said("repro")

    def freeze(self) -> None:
        """Stops the clock of the running stage: time passes, and it does nothing."""
        for process in self._stage_processes():
            signal_to(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets the running stage go on."""
        for process in self._stage_processes():
            signal_to(process, signal.SIGCONT)

    def is_asked_to_stop(self) -> bool:
        """Whether SIGTERM waits for the running stage, whose clock stands still."""
        bit = 1 << (signal.SIGTERM - 1)
        for process in self._stage_processes():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                pending = re.findall(r"(?m)^S(?:hd|ig)Pnd:\t(\w+)$", status)
                if any(int(mask, 16) & bit for mask in pending):
                    return True
        return False

    def kill(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM to every process of the machine, some seconds, then SIGKILL."""
        processes = self._processes()
        for process in processes:
            signal_to(process, signal.SIGTERM)
        self.thaw()
        psutil.wait_procs(processes, grace_s)
        while processes := self._processes():
            for process in processes:
                signal_to(process, signal.SIGKILL)
            psutil.wait_procs(processes, 1)
        for started in self._started.values():
            started.wait()

    def _stage_processes(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._started["repro"].pid).children(recursive=True)
        except (KeyError, psutil.Error):
            return [process for process in self._processes() if is_stage(process)]

    def _processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if works_in(process, self.root)]

    def checkpoints(self) -> dict[str, int]:
        """The last step of which the store keeps the state, by training: model and key."""
        found: dict[str, int] = {}
        for path in self.store.glob("models/*/[!.]*"):
            if (step := steps(path)) is not None:
                training = f"{path.parent.name}/{path.name.split('.')[0]}"
                found[training] = max(step, found.get(training, 0))
        return found

    def parts(self) -> dict[str, int]:
        """When each unit and step in the store was written, by path."""
        found = {}
        for path in self.store.glob("*/**/[!.]*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    found[path.relative_to(self.store).as_posix()] = path.stat().st_mtime_ns
        return found

    def has_sent(self, paths: Iterable[str]) -> bool:
        """Whether an index in the remote names these files of the store as they are now."""
        folder = self.root.parent / "remote" / "partial" / "index"
        sent = {
            (part["path"], part["sha256"])
            for path in folder.glob("[!.]*.json")
            for part in json.loads(path.read_text())["parts"]
        }
        return all((path, sha256_of(self.store / path)) in sent for path in paths)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def steps(path: Path) -> int | None:
    """The step that a file of the store is the state of, as its name says; None for a unit."""
    named = re.fullmatch(r"[0-9a-f]{64}\.(\d+)\.[0-9a-f]{64}\.safetensors", path.name)
    return int(named[1]) if named else None


def wait_until(condition: Callable[[], object], seconds: float, poll_s: float = 0.05) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(poll_s)
    return False


def signal_to(process: psutil.Process, number: int) -> None:
    """Sends a signal, unless the process is gone."""
    try:
        process.send_signal(number)
    except psutil.Error:
        return


def works_in(process: psutil.Process, folder: Path) -> bool:
    """Whether a process is alive and has its working directory in a folder."""
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False


def is_stage(process: psutil.Process) -> bool:
    """Whether a process is a stage or one that a stage has started."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "backtracking.stages" in command or "multiprocessing" in command
