"""The process that stages are forked from while `reproduce` runs, see `lifeboat.stage.preloaded`.

It imports a module of `preload` in [tool.lifeboat] once a stage has needed it, so a run of quick
stages imports nothing slow. It imports nothing of the project, whose code may change meanwhile.
Only Linux has what it takes; and where there is a GPU each stage begins by itself, since a driver
that a process has asked anything does not work in its forks.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lifeboat import processes, project
from lifeboat.stage import preloaded
from lifeboat.stage.preloaded import LENGTH, READY, VARIABLE, Start

_OWN = ("DVC_", "LIFEBOAT_", "LC_CTYPE", "OLDPWD", "PWD", "PYTHONPATH", "SHLVL", "_")
"""How variables begin that differ from stage to stage, and that no import reads."""


@contextlib.contextmanager
def variables(root: Path) -> Iterator[dict[str, str]]:
    """What stages need in their environment to begin as forks of a process that lives as long.

    Nothing where a project names no modules, and where there can be no such process.
    """
    with contextlib.ExitStack() as ending:
        found = {}
        with contextlib.suppress(Exception):  # whatever it is: then stages begin by themselves
            if (modules := project.contract(root).preload) and _is_possible():
                folder = ending.enter_context(tempfile.TemporaryDirectory())
                address = str(Path(folder) / "socket")
                with socket.socket(socket.AF_UNIX) as listener:  # then open in the process alone
                    listener.bind(address)
                    listener.listen()
                    ending.enter_context(_started(root, listener, modules))
                found = {VARIABLE: address}
        yield found


def _is_possible() -> bool:
    """Whether this system can wait for a fork beside other things, and has no GPU.

    Raises:
        OSError: where it cannot.
    """
    if (
        not hasattr(os, "pidfd_open")
        or Path("/dev/kfd").exists()
        or [*Path("/dev").glob("nvidia*")]
    ):
        return False
    os.close(os.pidfd_open(os.getpid()))
    return True


def _started(
    root: Path, listener: socket.socket, modules: Sequence[str]
) -> subprocess.Popen[bytes]:
    """The process; it ends once its input does."""
    package = str(Path(__file__).parents[2])
    environment = {**processes.environment(root), "PYTHONPATH": package}
    command = [sys.executable, "-P", "-m", __spec__.name, str(listener.fileno()), *modules]
    return subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
        start_new_session=True,  # signals of a terminal come from the stage alone
    )


@dataclass(frozen=True)
class Fork:
    """A stage that runs.

    Attributes:
        stage: the process in whose place it runs.
        pid, handle: of the fork.
        needed: gives the modules that it has imported, once it has ended well.
    """

    stage: socket.socket
    pid: int
    handle: int
    needed: int


class Server:
    """Runs stages that ask for it, as forks of this process, until its input ends and none runs."""

    def __init__(self, listener: socket.socket, modules: Sequence[str]) -> None:
        self._listener, self._modules = listener, frozenset(modules)
        self._variables = dict(os.environ)
        self._forks: list[Fork] = []
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serves until nobody is left who could ask."""
        self._selector.register(0, selectors.EVENT_READ, self._close)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        while self._selector.get_map():
            for key, _events in self._selector.select():
                if key.fd in self._selector.get_map():
                    key.data()

    def _close(self) -> None:
        self._selector.unregister(0)
        self._selector.unregister(self._listener)

    def _accept(self) -> None:
        stage, _address = self._listener.accept()
        files: list[int] = []
        try:
            head, files, _flags, _from = socket.recv_fds(stage, LENGTH, 3)
            start = Start(**json.loads(preloaded.received(stage, int.from_bytes(head, "big"))))
            if _of_imports(start.variables) == _of_imports(self._variables):
                self._begin(stage, start, files)
                return
        except (OSError, ValueError):
            pass
        finally:
            for file in files:
                os.close(file)
        stage.close()  # it begins by itself

    def _begin(self, stage: socket.socket, start: Start, files: Sequence[int]) -> None:
        read, write = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads. Those of numerical libraries are idle here.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self._leave_to_parent()
            stage.close()
            self._become(start, files, write)
        os.close(write)
        fork = Fork(stage, pid, os.pidfd_open(pid), read)
        self._forks.append(fork)
        self._selector.register(fork.handle, selectors.EVENT_READ, lambda: self._end(fork))
        self._selector.register(stage, selectors.EVENT_READ, lambda: self._hear(fork))
        stage.sendall(READY)

    def _hear(self, fork: Fork) -> None:
        """A signal that the stage got, or that it is gone."""
        try:
            said = fork.stage.recv(1)
        except OSError:
            said = b""
        if not said:
            self._selector.unregister(fork.stage)
        os.kill(fork.pid, said[0] if said else signal.SIGKILL)

    def _end(self, fork: Fork) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(fork.pid, 0)[1])
        self._selector.unregister(fork.handle)
        with contextlib.suppress(KeyError):
            self._selector.unregister(fork.stage)
        with contextlib.suppress(OSError):
            fork.stage.sendall(code.to_bytes(LENGTH, "big", signed=True))
        self._forks.remove(fork)
        os.set_blocking(fork.needed, False)
        with contextlib.suppress(BlockingIOError):
            _import(os.read(fork.needed, 1 << 16).decode().split())
        _close(fork)

    def _leave_to_parent(self) -> None:
        """In a fork: closes what is between this process and other stages."""
        self._selector.close()
        self._listener.close()
        for fork in self._forks:
            _close(fork)

    def _become(self, start: Start, files: Sequence[int], needed: int) -> NoReturn:
        """Runs a stage as `python -m` does."""
        preloaded.end_with_parent(signal.SIGKILL)
        for number, file in enumerate(files):
            os.dup2(file, number)
        set_by_imports = dict(os.environ.items() - self._variables.items())
        os.environ.clear()
        os.environ.update(start.variables | set_by_imports)
        sys.path[:], sys.argv[:] = start.path, start.arguments
        sys.orig_argv[:] = [sys.executable, "-m", start.module, *start.arguments[1:]]
        sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
        atexit.register(lambda: os.write(needed, " ".join(self._modules & {*sys.modules}).encode()))
        for name in [one for one in sys.modules if one.partition(".")[0] == "lifeboat"]:
            del sys.modules[name]  # it has the project's own
        code: str | int | None = 0
        try:
            os.chdir(start.folder)
            runpy.run_module(start.module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            code = 1
        preloaded.leave(code)


def _of_imports(variables: Mapping[str, str]) -> dict[str, str]:
    """Those variables that an import may read."""
    return {name: value for name, value in variables.items() if not name.startswith(_OWN)}


def _import(names: Sequence[str]) -> None:
    """Imports modules for all stages to come; what cannot be imported here, each imports itself."""
    gc.disable()
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.freeze()


def _close(fork: Fork) -> None:
    fork.stage.close()
    os.close(fork.handle)
    os.close(fork.needed)


def main() -> None:
    """Serves on the socket whose number comes first, with the modules that come after it."""
    number, *modules = sys.argv[1:]
    Server(socket.socket(fileno=int(number)), modules).run()
    preloaded.leave(0)


if __name__ == "__main__":
    main()
