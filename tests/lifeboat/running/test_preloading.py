"""Stages that begin as forks: what they find, how they end, and that nothing outlives its stage."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from lifeboat import processes
from lifeboat.running import preloading, reproduce

STAGE = """\
import os, sys
from lifeboat.stage import preloaded
preloaded.hand_over()
before = "sklearn" in sys.modules
import ctypes, signal, time
from pathlib import Path
from lifeboat.stage import interruption
"""
REPORT = """\
import sklearn
print(before, os.getppid(), os.getcwd(), sys.argv[1:], sys.path[0], __name__)
print("to stderr", file=sys.stderr)
print("read", sys.stdin.read(), os.environ["DVC_MINE"])
print(os.environ["KMP_INIT_AT_FORK"])  # the module sets it
"""
CONTRACT = '[tool.lifeboat]\npreload = ["sklearn", "no_such_module"]\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(CONTRACT)
    return tmp_path


def environment(root: Path, further: dict[str, str]) -> dict[str, str]:
    own = {"PYTHONPATH": str(PROJECT_ROOT / "src"), "DVC_STAGE": "one"}
    return {**processes.environment(root), **own, **further}


def stage(root: Path, further: dict[str, str], code: str, name: str = "one") -> list[str]:
    (root / f"{name}.py").write_text(STAGE + code)
    return [sys.executable, "-m", name, "word", "--flag"]


def run(root: Path, further: dict[str, str], code: str) -> subprocess.CompletedProcess[str]:
    """A stage that has ended, given `text` on its standard input."""
    command = stage(root, further, code)
    variables = environment(root, further)
    return subprocess.run(
        command, cwd=root, env=variables, input="text", capture_output=True, text=True, timeout=60
    )


@contextmanager
def running(
    root: Path, further: dict[str, str], code: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A stage that has said the number of the process in which it runs."""
    command = stage(root, further, code)
    with subprocess.Popen(
        command, cwd=root, env=environment(root, further), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        yield child, int(child.stdout.readline())


def is_there(pid: int) -> bool:
    """Whether a process is there and is no remainder of one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def soon(gone: int) -> bool:
    """Whether a process has ended, or does within ten seconds."""
    deadline = time.monotonic() + 10
    while is_there(gone) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_there(gone)


def test_a_fork_begins_as_the_stage_does_and_finds_what_one_before_it_needed(root: Path) -> None:
    alone = run(root, {"DVC_MINE": "1"}, REPORT).stdout.split()
    with preloading.variables(root) as found:
        assert found
        further = {**found, "DVC_MINE": "1"}
        first, second = run(root, further, REPORT), run(root, further, REPORT)
    assert first.stderr == second.stderr == "to stderr\n"
    assert alone[0] == first.stdout.split()[0] == "False" and second.stdout.split()[0] == "True"
    parent, *rest = first.stdout.split()[1:]
    assert parent != str(os.getpid()) and soon(gone=int(parent))
    assert rest == second.stdout.split()[2:] == alone[2:]


def test_a_run_of_the_pipeline_forks_its_stages(
    root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT / "src"))
    code = "import sklearn\nPath(sys.argv[1]).write_text('made')\nprint('begun with it:', before)\n"
    (root / "one.py").write_text(STAGE + code)
    stages = ""
    for name, dep in (("first", "one.py"), ("second", "first.txt")):
        command = f"exec {sys.executable} -m one {name}.txt"
        stages += f"  {name}:\n    cmd: {command}\n    deps: [{dep}]\n    outs: [{name}.txt]\n"
    (root / "dvc.yaml").write_text(f"stages:\n{stages}")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
    outcome = reproduce.reproduce(root, [])
    said = capfd.readouterr().out
    assert outcome.code == 0, said
    assert [line for line in said.splitlines() if line.startswith("begun")] == [
        "begun with it: False",
        "begun with it: True",
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sys.exit(75)", 75),
        ("sys.exit('a sentence')", 1),
        ("raise ValueError('wrong')", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os._exit(3)", 3),
    ],
)
def test_a_stage_ends_as_its_fork_does(root: Path, code: str, expected: int) -> None:
    with preloading.variables(root) as found:
        ended = run(root, found, code)
        alone = run(root, {}, code)
    assert ended.returncode == alone.returncode == expected
    assert ended.stderr.splitlines()[-1:] == alone.stderr.splitlines()[-1:]


WAITS = """\
interruption.install()
print(os.getpid(), flush=True)
while True:
    interruption.checkpoint(); time.sleep(0.02)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_fork_which_ends_at_a_checkpoint(root: Path, number: int) -> None:
    with preloading.variables(root) as found, running(root, found, WAITS) as (child, fork):
        assert fork != child.pid
        child.send_signal(number)
        assert child.wait(20) == 75 and soon(gone=fork)


def test_a_killed_stage_takes_its_fork_with_it(root: Path) -> None:
    code = "print(os.getpid(), flush=True)\ntime.sleep(60)\n"
    with preloading.variables(root) as found, running(root, found, code) as (child, fork):
        child.kill()
        assert soon(gone=fork)


def test_without_the_process_that_forked_it_a_stage_ends(root: Path) -> None:
    code = "print(os.getpid(), os.getppid(), flush=True)\ntime.sleep(60)\n"
    with preloading.variables(root) as found:
        command = stage(root, found, code)
        with subprocess.Popen(
            command, cwd=root, env=environment(root, found), stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            fork, server = map(int, child.stdout.readline().split())
            os.kill(server, signal.SIGKILL)
            assert child.wait(20) == -signal.SIGTERM and soon(gone=fork)
        # Nobody listens any more: the next one runs by itself.
        assert run(root, found, "print(os.getppid())").stdout == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"OMP_NUM_THREADS": "7"}, id="other variables"),
        pytest.param({"LIFEBOAT_PRELOADED": "/nowhere"}, id="nobody there"),
    ],
)
def test_what_cannot_be_forked_runs_by_itself(root: Path, change: dict[str, str]) -> None:
    with preloading.variables(root) as found:
        assert run(root, {**found, **change}, "print(os.getppid())").stdout == f"{os.getpid()}\n"


def test_where_there_is_a_gpu_or_nothing_is_named_each_stage_runs_by_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Path, "glob", lambda _self, _pattern: iter([Path("/dev/nvidia0")]))
        with preloading.variables(root) as found:
            assert found == {}
    (root / "pyproject.toml").write_text("")
    with preloading.variables(root) as found:
        assert found == {}
