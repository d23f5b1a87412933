"""Any error at any step of any verb: a sentence, exit code 1, and the other steps are taken."""

import asyncio
import errno
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest
import walking
from repositories import git, remote_of
from walking import Step, Walk

from lifeboat.cli import app, commands
from lifeboat.remotes import remote
from lifeboat.running import reproduce
from lifeboat.saving import snapshot
from lifeboat.stage import failures
from lifeboat.stage.errors import UserError
from lifeboat.watching import watch
from lifeboat.watching.notices import Notice

pytestmark = pytest.mark.kind(3)


class PanicException(BaseException):
    """As Rust's packages raise it: no `Exception`."""


ERRORS: dict[str, Callable[[], BaseException]] = {
    "a cancelled task": asyncio.CancelledError,
    "a panic": lambda: PanicException("called `Option::unwrap()` on a `None` value"),
    "full disk": lambda: OSError(errno.ENOSPC, "No space left on device", "/mnt/x"),
    "no permission": lambda: PermissionError(
        errno.EPERM, "Operation not permitted", "a", None, "b"
    ),
    "no name": lambda: KeyError("getpwuid(): uid not found: 12345"),
    "no UTF-8": lambda: UnicodeDecodeError("utf-8", b"r\xe9", 1, 2, "invalid continuation byte"),
    "no module": lambda: ModuleNotFoundError("No module named 'fsspec.asyn'"),
    "no memory": MemoryError,
    "no end": lambda: RecursionError("maximum recursion depth exceeded"),
    "no thread": lambda: RuntimeError("can't start new thread"),
    "a child": lambda: subprocess.CalledProcessError(9, ["git", "push"], b"", b"fatal: so it is"),
    "a late child": lambda: subprocess.TimeoutExpired(["nvidia-smi"], 5),
    "a number": lambda: ValueError("invalid literal for int() with base 10: 'Good'"),
    "an attribute": lambda: AttributeError("'NoneType' object has no attribute 'split'"),
    "an assertion": AssertionError,
    "a stale handle": lambda: OSError(errno.ESTALE, "Stale file handle"),
    "lines in it": lambda: TypeError("a\n\nb"),
    "a group": lambda: ExceptionGroup("two", [ValueError("one"), OSError("other")]),
    "no more": lambda: StopIteration("nothing"),
    "a broken letter": lambda: UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates"),
}
"""By what they mean; the last ones are in no report that we have read."""

VERBS: dict[str, tuple[list[str], set[str]]] = {
    "backup": (["backup"], {"lifeboat.saving.backup", "lifeboat.saving.backup_run"}),
    "push": (["push"], {"lifeboat.saving.push"}),
    "restore": (["restore"], {"lifeboat.restoring.restore"}),
    "verify": (["verify"], {"lifeboat.proof.verify"}),
    "snapshot": (["snapshot"], {"lifeboat.saving.snapshot"}),
    "watch": (["watch"], {"lifeboat.watching.watch"}),
    "doctor": (["doctor"], {"lifeboat.doctor.doctor"}),
    "log": (["log", "A run"], set()),
    "store prune": (["store", "prune"], {"lifeboat.saving.store"}),
    "remote set": (["remote", "set", "/else/where"], set()),
    "reproduce": (["reproduce"], {"lifeboat.running.reproduce"}),
}
"""Command line of each verb, and the modules that are it, besides the command line's own."""

SIDES = dict.fromkeys(
    ("lifeboat.processes.git", "lifeboat.git", "lifeboat.proof.held", "lifeboat.saving.snapshot"),
    "code",
)
"""Of what a step is; all others are of the data."""


WHERE = Step("lifeboat.git.wip", "head")
"""Parts of a branch need to know the branch."""


def side(step: Step) -> str:
    where = f"{step.module}.{step.name}"
    return next((name for start, name in SIDES.items() if where.startswith(start)), "data")


def run(verb: str, root: Path) -> int:
    with pytest.raises(SystemExit) as ended:
        app.main(["--root", str(root), *VERBS[verb][0]])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def walks() -> dict[str, tuple[Path, Walk]]:
    return {}


@pytest.fixture
def walk(
    verb: str,
    project: Path,
    walks: dict[str, tuple[Path, Walk]],
    monkeypatch: pytest.MonkeyPatch,
) -> Walk:
    """The steps of a verb, from a run of it that fails nowhere; one run for all tests."""
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    monkeypatch.setattr(commands, "_leave", sys.exit)
    monkeypatch.setattr(reproduce, "_stream", lambda *_: 0)
    monkeypatch.setattr(watch, "_wait", lambda *_: Notice("it is over"))
    monkeypatch.setattr(snapshot, "_new_folder", lambda runs: Path(mkdtemp(dir=runs.parent)))
    if verb not in walks:
        remote_of(project)
        git(project, "push", "--quiet", "origin", "main")
        with walking.walked({"lifeboat.cli.commands", *VERBS[verb][1]}) as found:
            run(verb, project)
        walks[verb] = project, found
    return walks[verb][1]


@pytest.fixture
def root(verb: str, walk: Walk, walks: dict[str, tuple[Path, Walk]]) -> Path:
    """The project of the run, as it left it."""
    assert walk.returned, "no step was found"
    (walks[verb][0] / failures.LOG).unlink(missing_ok=True)
    failures.setting.kept.clear()
    return walks[verb][0]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return out + err


@pytest.mark.parametrize(
    ("verb", "n_errors"),
    [("backup", 4), ("push", 4), ("restore", 4)]
    + [pytest.param(verb, len(ERRORS), marks=pytest.mark.slow) for verb in VERBS],
)
def test_any_error_at_any_step_is_a_sentence_and_exit_code_1(
    verb: str, n_errors: int, walk: Walk, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = itertools.cycle(ERRORS.items())
    for step in walk.returned:
        for name, make in itertools.islice(errors, n_errors):
            error = make()
            with pytest.MonkeyPatch.context() as patched:
                taken = walking.replay(patched, walk, {step: error})
                code = run(verb, root)
            where = f"{verb}, {step}, {name}"
            said = told(capsys)
            assert step in taken, where
            assert code == 1, f"{where}: {said}"
            assert failures.sentence(error).rstrip(".") in said, f"{where}: {said}"
            assert type(error).__name__ in (root / failures.LOG).read_text(), where


@pytest.mark.parametrize("verb", ["backup", "push", "restore"])
def test_what_fails_on_one_side_keeps_no_step_of_the_other(
    verb: str, walk: Walk, root: Path
) -> None:
    assert {side(step) for step in walk.returned} == {"code", "data"}
    for step in set(walk.returned) - {WHERE}:
        with pytest.MonkeyPatch.context() as patched:
            taken = walking.replay(patched, walk, {step: RuntimeError("no")})
            run(verb, root)
        others = {one for one in walk.returned if side(one) != side(step)}
        assert others <= set(taken), f"{step} kept {[str(one) for one in others - set(taken)]}"


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "watch"])
@pytest.mark.parametrize(
    ("ending", "code"), [(KeyboardInterrupt(), 75), (SystemExit(75), 75), (SystemExit(3), 3)]
)
def test_an_interruption_at_any_step_ends_it_all(
    verb: str,
    ending: BaseException,
    code: int,
    walk: Walk,
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for step in walk.returned:
        with pytest.MonkeyPatch.context() as patched:
            walking.replay(patched, walk, {step: ending})
            assert run(verb, root) == code, f"{verb}, {step}"
        told(capsys)


@pytest.mark.parametrize("verb", ["backup"])
def test_a_user_error_is_told_as_it_is_and_kept_nowhere(
    verb: str, walk: Walk, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in walk.returned:
        with pytest.MonkeyPatch.context() as patched:
            walking.replay(patched, walk, {step: UserError("Wrong.", "Mend it.")})
            assert run(verb, root) == 1
        assert "Wrong. Mend it." in told(capsys)
    assert not (root / failures.LOG).exists()
