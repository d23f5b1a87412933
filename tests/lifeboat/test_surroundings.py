"""A machine that lacks something, or has too much of it: verbs work, or say what to do."""

import os
import pwd
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from lifeboat import processes, reading, surroundings
from lifeboat.deadlines import Deadline, within
from lifeboat.doctor import environment
from lifeboat.stage import failures
from lifeboat.stage.failures import LOG

pytestmark = pytest.mark.kind(3)

SOURCE = str(PROJECT_ROOT / "src")
MAIN = "from lifeboat.cli.app import main; main()"
DOTENVS = {
    "UTF-16, as PowerShell writes it": "A=b\n".encode("utf-16"),
    "UTF-16, the other way round": b"\xfe\xff" + "A=b\n".encode("utf-16-be"),
    "UTF-16 without a mark": "A=b\n".encode("utf-16-le"),
    "a Latin-1 letter": "# r\xe9glages\nA=b\n".encode("latin-1"),
    "a mark of UTF-8": b"\xef\xbb\xbfA=b\n",
    "lines of Windows": b"A=b\r\nB=c\r\n",
    "a name that is none": b"=x\n1A=c\nA=b\n",
    "a zero byte": b"A=b\0\n",
}


def verb(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own, as the shell would start it."""
    path = os.pathsep.join(filter(None, [variables.pop("PYTHONPATH", ""), SOURCE]))
    return subprocess.run(
        [sys.executable, "-c", MAIN, "--root", str(root), *arguments],
        env={**os.environ, **variables, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("kind", DOTENVS)
def test_accounts_are_read_whatever_editor_wrote_them(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes(DOTENVS[kind])
    monkeypatch.setattr(os, "environ", {})
    surroundings.load_accounts(tmp_path)
    assert os.environ["A"] == "b"


@pytest.mark.parametrize("kind", DOTENVS)
def test_the_shell_reads_the_same_accounts(kind: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(DOTENVS[kind])
    (tmp_path / "scripts").mkdir()
    script = (PROJECT_ROOT / "scripts" / "activate_env.sh").read_text()
    (tmp_path / "scripts" / "activate_env.sh").write_text(script)
    done = subprocess.run(
        ["bash", "-c", f'. {tmp_path}/scripts/activate_env.sh; printf %s "$A"'],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "b"


UNREADABLE: dict[str, Callable[[Path], None]] = {
    "a folder, as a container makes it of no file": Path.mkdir,
    "a pipe that nobody writes": os.mkfifo,
    "what has no end": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("member", UNREADABLE)
def test_accounts_that_cannot_be_read_are_said_and_stop_nothing(
    member: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    UNREADABLE[member](tmp_path / ".env")
    monkeypatch.setattr(reading, "WAIT_S", 0.1)
    within(Deadline.after(20), "Reading", lambda: surroundings.load_accounts(tmp_path))
    assert "no account is set" in capsys.readouterr().err
    assert environment.dotenv_item(tmp_path).verdict == "wrong"


def test_accounts_are_read_from_a_pipe_that_a_password_manager_writes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    writer = threading.Thread(target=(tmp_path / ".env").write_text, args=("A=b\n",), daemon=True)
    writer.start()
    read = lambda: surroundings.accounts(tmp_path / ".env")  # noqa: E731
    assert within(Deadline.after(20), "Reading", read) == {"A": "b"}
    writer.join()


@pytest.mark.parametrize("kind", ["UTF-16, as PowerShell writes it", "a Latin-1 letter"])
def test_doctor_says_of_accounts_that_not_every_program_reads_them(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(DOTENVS[kind])
    (tmp_path / ".env").chmod(0o600)
    assert "not UTF-8" in environment.dotenv_item(tmp_path).fact


def test_a_user_without_a_name_and_a_home_gets_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    surroundings.settle(tmp_path)
    assert os.environ["USER"] == f"uid{os.getuid()}"
    assert Path.home() == tmp_path / ".cache" / "home"


def test_temporary_files_go_elsewhere_where_their_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    monkeypatch.setattr(surroundings, "ROOM", 10**18)
    surroundings.settle(tmp_path)
    assert Path(tempfile.gettempdir()) == tmp_path / ".cache" / "tmp"
    assert os.environ["TMPDIR"] == str(tmp_path / ".cache" / "tmp")


def test_where_no_folder_takes_temporary_files_the_projects_own_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr(tempfile, "gettempdir", none)
    surroundings.settle(tmp_path)
    assert tempfile.tempdir == str(tmp_path / ".cache" / "tmp")


NOTES: dict[str, Callable[[Path], object]] = {
    "of another user": lambda place: place.mkdir(mode=0o555),
    "a file": Path.touch,
    "below a file": lambda place: place.parent.rmdir() or place.parent.touch(),
    "none that can be made": lambda place: place.parent.chmod(0o555),
}
"""Why DVC cannot keep its own notes of a machine where it wants to."""


@pytest.mark.parametrize("member", NOTES)
def test_dvc_keeps_its_notes_in_the_project_where_it_cannot_elsewhere(
    member: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp" / "dvc"
    place.parent.mkdir()
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(place))
    surroundings.settle(tmp_path)
    assert os.environ["DVC_SITE_CACHE_DIR"] == str(place)
    NOTES[member](place)
    may = lambda path, _mode: bool(os.stat(path).st_mode & 0o200)  # noqa: E731  root may all
    monkeypatch.setattr(os, "access", may)
    surroundings.settle(tmp_path)
    assert os.environ["DVC_SITE_CACHE_DIR"] == str(tmp_path / ".cache" / "dvc")


@pytest.mark.parametrize("arguments", [["verify"], ["--root", "{}", "backup"]])
def test_where_the_folder_one_is_in_has_been_removed_that_is_said(
    arguments: list[str], tmp_path: Path
) -> None:
    main = f"import os; os.rmdir(os.getcwd()); {MAIN}"
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", main, *(word.format(tmp_path) for word in arguments)],
        cwd=tmp_path / "gone",
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "The folder that you are in is no more. Run `cd`" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "package",
    [
        "fsspec",
        pytest.param("ruamel", marks=pytest.mark.slow),
        pytest.param("psutil", marks=pytest.mark.slow),
    ],
)
def test_packages_of_the_machine_do_not_win_over_the_environments(
    package: str, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "image" / package).mkdir(parents=True)
    (tmp_path / "image" / package / "__init__.py").write_text("__version__ = '2021.1'\n")
    done = verb(project, "verify", PYTHONPATH=str(tmp_path / "image"))
    assert "MISSING" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize("package", ["typer", "dotenv"])
def test_what_hides_the_command_line_itself_is_named(
    package: str, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / f"{package}.py").write_text("")
    done = verb(project, "verify", PYTHONPATH=str(tmp_path / "image"))
    assert done.returncode == 1
    assert "unset PYTHONPATH" in done.stderr and "Traceback" not in done.stderr


def test_doctor_names_what_pythonpath_hides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([SOURCE, str(tmp_path)]))
    assert environment.path_items() == []
    (tmp_path / "numpy").mkdir()
    (item,) = environment.path_items()
    assert str(tmp_path) in item.fact and SOURCE not in item.fact


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONUTF8": "0", "LC_ALL": "C"},
        pytest.param({"PYTHONUTF8": "0", "LC_ALL": "POSIX"}, marks=pytest.mark.slow),
        pytest.param(
            {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}, marks=pytest.mark.slow
        ),
    ],
)
def test_letters_of_a_path_need_no_locale(variables: dict[str, str], project: Path) -> None:
    root = project.rename(project.with_name("caf\xe9"))
    done = verb(root, "snapshot", **variables)
    assert done.returncode == 0, done.stderr


def test_what_does_not_load_is_told_with_its_traceback_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image" / "torch").mkdir(parents=True)
    (tmp_path / "image" / "torch" / "__init__.py").write_text("1 / 0\n")
    path = os.pathsep.join([str(tmp_path / "image"), SOURCE])
    done = subprocess.run(
        [sys.executable, "-m", "backtracking.stages.directions", "--root", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ZeroDivisionError: division by zero.")
    assert "unset PYTHONPATH" in done.stderr and "Traceback" not in done.stderr
    assert "Traceback" in (tmp_path / LOG).read_text()


def test_debug_shows_the_traceback_and_the_log_has_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", "such-a-secret-1")
    monkeypatch.setattr(failures, "setting", failures._Setting(tmp_path))
    try:
        raise ValueError("with such-a-secret-1 in it")
    except ValueError as error:
        assert "logs/errors.log" in failures.told(error)
        assert "such-a-secret-1" not in (tmp_path / LOG).read_text()
        failures.setting.debug = True
        failures.told(error)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.kind(8)
@pytest.mark.parametrize("variable", ["LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"])
def test_git_gives_its_reasons_in_words_that_are_known(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "de_DE.UTF-8")
    monkeypatch.setattr(processes, "GIT", ("sh", "-c", "echo $LANGUAGE"))
    assert processes.git_line(tmp_path) == "en"
