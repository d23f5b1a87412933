"""`.env` is data, for Python and for the shell alike."""

import os
import subprocess
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from lifeboat import processes, surroundings

DOTENV = """\
# a comment
PLAIN=value
export EXPORTED=yes
  SPACED  =  padded value
DOUBLE="two words"   # why
SINGLE='$HOME and $(touch PWNED)'
COMMENTED=kept # dropped
HASH=a#b
EMPTY=
EMPTY_COMMENT= # nothing
COMMAND=$(touch PWNED)`touch PWNED`;touch PWNED
REFERENCE=${PLAIN}
EQUALS=a=b=c
LAST=no newline"""

EXPECTED = {
    "PLAIN": "value",
    "EXPORTED": "yes",
    "SPACED": "padded value",
    "DOUBLE": "two words",
    "SINGLE": "$HOME and $(touch PWNED)",
    "COMMENTED": "kept",
    "HASH": "a#b",
    "COMMAND": "$(touch PWNED)`touch PWNED`;touch PWNED",
    "REFERENCE": "${PLAIN}",
    "EQUALS": "a=b=c",
    "LAST": "no newline",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with the activation script, a .env and no environment."""
    folder = tmp_path / "a project"
    (folder / "scripts").mkdir(parents=True)
    script = (PROJECT_ROOT / "scripts" / "activate_env.sh").read_text()
    (folder / "scripts" / "activate_env.sh").write_text(script)
    (folder / ".env").write_text(DOTENV)
    return folder


def sourced(root: Path, after: str = "env -0") -> subprocess.CompletedProcess[str]:
    """What the shell says after the script was sourced from another folder."""
    script = f'set -eu; cd /; . "$1/scripts/activate_env.sh"; {after}'
    return subprocess.run(
        ["bash", "-c", script, "bash", str(root)],
        env={"PATH": os.environ["PATH"], "HOME": str(root.parent)},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_shell_reads_it_as_data_and_runs_nothing(root: Path) -> None:
    found = dict(v.split("=", 1) for v in sourced(root).stdout.split("\0") if "=" in v)
    assert {name: found.get(name) for name in EXPECTED} == EXPECTED
    assert not {"EMPTY", "EMPTY_COMMENT"} & set(found)
    assert not list(root.rglob("PWNED"))
    assert not Path("/PWNED").exists()


def test_python_reads_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    surroundings.load_accounts(root)
    assert os.environ == EXPECTED


def test_what_is_set_already_wins_in_python(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PLAIN": "mine", "LAST": ""})
    surroundings.load_accounts(root)
    assert (os.environ["PLAIN"], os.environ["LAST"]) == ("mine", "no newline")


def test_the_shell_and_the_children_of_the_command_line_have_the_same_caches(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dict(v.split("=", 1) for v in sourced(root).stdout.split("\0") if "=" in v)
    for name in ("HF_HOME", "TORCH_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
        assert found[name] == processes.environment(root)[name]
        assert Path(found[name]).is_relative_to(root / ".cache")


def test_a_missing_environment_is_said_and_an_existing_one_is_activated(root: Path) -> None:
    assert "make install" in sourced(root).stderr
    activate = root / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("export VIRTUAL_ENV=activated\n")
    assert sourced(root, "echo $VIRTUAL_ENV").stdout == "activated\n"


def test_a_line_that_is_no_assignment_is_left_out_and_not_repeated(root: Path) -> None:
    (root / ".env").write_text("rm -rf nothing secret\nGOOD=1\n")
    done = sourced(root, "echo $GOOD")
    assert done.stdout == "1\n"
    assert "left out" in done.stderr
    assert "secret" not in done.stderr


def test_it_leaves_no_function_of_its_own_behind(root: Path) -> None:
    assert "_backtracking" not in sourced(root, "set").stdout


def test_running_it_instead_of_sourcing_it_is_wrong_use(root: Path) -> None:
    script = root / "scripts" / "activate_env.sh"
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "source scripts/activate_env.sh" in done.stderr
