"""configs/clusters/: recipes for rented machines, run for real where nothing has to be rented.

They run against a small repository whose `make install` puts a `backtracking` in place that writes
down what it was called with; the real command line then parses that. SkyPilot and Slurm judge their
recipes where they are installed. Where not, fields and options are compared with those that
their documentation names and that are listed here, which is less. RunPod and Vast have no parser.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from command_lines import parse
from ruamel.yaml import YAML

from backtracking import PROJECT_ROOT

RECIPES = PROJECT_ROOT / "configs" / "clusters"
SCRIPTS = sorted(RECIPES.glob("*.sh"))
CHECKERS = [["bash", "-n"], *([["shellcheck"]] if shutil.which("shellcheck") else [])]
TASK: dict[str, Any] = YAML(typ="safe").load((RECIPES / "skypilot.yaml").read_text())

MAKEFILE = """\
install:
\t@echo install >> "$$CALLS"
\t@sleep "$${INSTALLING:-0}"
\t@mkdir -p .venv/bin && cp backtracking.sh .venv/bin/backtracking
"""
IGNORED = "/.venv/\n/stop\n"
BACKTRACKING = """\
#!/bin/bash
[ "$1" != watch ] || trap 'echo "watch saves" >> "$CALLS"; touch stop; exit "${SAVED:-0}"' TERM
echo "$*" >> "$CALLS"
case "$1 $2" in
    "restore ") exit "${RESTORE:-0}" ;;
    "doctor ") exit "${DOCTOR:-0}" ;;
    "backup"*) exit "${SAVED:-0}" ;;
    "profile use")
        [ "$3" != "${BREAKS:-}" ] || { kill -KILL "$PPID"; exit; }
        echo "$3: 1" >> params.yaml
        ;;
    "watch"*)
        [ "$(grep -c ^watch "$CALLS")" -gt "${DYING:-0}" ] || exit 137
        while :; do sleep 0.02; done
        ;;
    "reproduce ")
        rm -f stop
        until grep -q ^watch "$CALLS"; do sleep 0.02; done
        until [ -e "$DONE" ] || [ -e stop ]; do sleep 0.02; done
        [ -e "$DONE" ] || exit 75
        exit "${CODE:-0}"
        ;;
esac
"""


def git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    done = subprocess.run(
        ["git", *name, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@dataclass
class Machine:
    """A place to start recipes in, and the repository that they clone.

    Attributes:
        folder: of it all.
        commit: where studies begin.
        started: what was started.
    """

    folder: Path
    commit: str = ""
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def study(self) -> Path:
        return self.folder / "study"

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def start(self, script: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        own = {
            "HOME": str(self.folder),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(self.folder / "calls"),
            "DONE": str(self.folder / "done"),
            "STUDY_REPOSITORY": f"file://{self.repository}",
            "STUDY_COMMIT": self.commit,
            "STUDY_FOLDER": str(self.study),
        }
        kept = {name: value for name, value in os.environ.items() if "GIT_" not in name}
        process = subprocess.Popen(
            ["bash", str(script or RECIPES / "run.sh")],
            cwd=self.folder,
            env={**kept, **own, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # What runs in a shell's background is deaf to it, and bash cannot listen again.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(process)
        return process

    def run(self, script: Path | None = None, **variables: str) -> tuple[int, str]:
        """Lets a study come to its end: exit status, and what was said."""
        (self.folder / "done").touch()
        process = self.start(script, **variables)
        said = process.communicate(timeout=60)[0]
        return process.returncode, said

    def wait_for(self, call: str, count: int = 1) -> None:
        deadline = time.monotonic() + 30
        while sum(one.startswith(call) for one in self.calls) < count:
            assert time.monotonic() < deadline, self.calls
            time.sleep(0.02)

    def give_notice(self, number: signal.Signals) -> int:
        """The exit status of what was started last, after a signal in the midst of the study."""
        self.wait_for("watch")
        self.wait_for("reproduce")
        self.started[-1].send_signal(number)
        return self.started[-1].wait(timeout=30)

    def tool(self, name: str) -> None:
        """A command of the machine's, which writes down how it was called."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> "$CALLS"\n')
        path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    root = machine.repository
    root.mkdir()
    (root / "Makefile").write_text(MAKEFILE)
    (root / "backtracking.sh").write_text(BACKTRACKING)
    (root / "backtracking.sh").chmod(0o755)
    (root / ".gitignore").write_text(IGNORED)
    (root / "params.yaml").write_text("seed: 1\n")
    shutil.copytree(RECIPES, root / "configs" / "clusters")
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Start")
    machine.commit = git(root, "rev-parse", "HEAD")
    (root / "params.yaml").write_text("seed: 2\n")
    git(root, "commit", "--quiet", "--all", "--message", "Later")
    yield machine
    for process in machine.started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    (root.parent / "done").touch()  # ends what is left of a stub


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
@pytest.mark.parametrize("checker", CHECKERS, ids=lambda words: words[0])
def test_a_recipe_is_sound_shell(script: Path, checker: list[str]) -> None:
    done = subprocess.run([*checker, str(script)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.access(script, os.X_OK)


def test_a_study_is_cloned_installed_restored_run_beside_a_watch_and_saved(
    machine: Machine,
) -> None:
    code, said = machine.run(
        STUDY_REMOTE="s3://bucket/path",
        STUDY_ENDPOINT="https://store",
        STUDY_WATCH="--aws --every 2s",
        STUDY_OVERLAYS="pair gsm8k",
        AWS_SECRET_ACCESS_KEY="never-written",  # pragma: allowlist secret
    )
    assert code == 0, said
    before = [
        "install",
        "remote set s3://bucket/path --endpoint https://store",
        "restore",
        "profile use pair",
        "profile use gsm8k",
        "profile pin",
        "doctor",
    ]
    assert machine.calls[: len(before)] == before
    beside = ["reproduce", "watch --deadline 90s --aws --every 2s"]
    assert sorted(machine.calls[len(before) :])[: len(beside)] == beside
    assert machine.calls[-1] in ("watch saves", "backup")
    assert git(machine.study, "branch", "--show-current") == "run/pair-gsm8k"
    assert git(machine.study, "rev-parse", "HEAD") == machine.commit
    assert (machine.study / "params.yaml").read_text() == "seed: 1\npair: 1\ngsm8k: 1\n"
    for call in machine.calls:
        if call not in ("install", "watch saves"):
            parse(shlex.split(call))
    texts = [path.read_bytes() for path in machine.study.rglob("*") if path.is_file()]
    assert not any(b"never-written" in text for text in texts)


@pytest.mark.parametrize(
    ("variables", "code", "last"),
    [
        ({}, 0, ""),
        ({"CODE": "1"}, 1, ""),
        ({"CODE": "75"}, 75, ""),
        ({"SAVED": "1"}, 1, "backup"),
        ({"CODE": "3", "SAVED": "1"}, 3, "backup"),
        ({"RESTORE": "1"}, 0, ""),
        ({"DOCTOR": "1"}, 1, "doctor"),
        ({"INSTALLING": "no-time"}, 2, "install"),
        ({"STUDY_REPOSITORY": "file:///nowhere"}, 128, "after 128"),
    ],
    ids=str,
)
def test_the_exit_status_is_that_of_what_failed(
    machine: Machine, variables: dict[str, str], code: int, last: str
) -> None:
    after = 'echo "after $1" >> "$CALLS"'
    found, said = machine.run(None, STUDY_AFTER=after, **variables)
    assert found == code, said
    assert machine.calls[-1] == f"after {code}"
    assert not last or last in machine.calls[-2:]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_a_notice_ends_in_a_backup_and_75_and_the_next_start_goes_on(
    machine: Machine, number: signal.Signals
) -> None:
    machine.start(STUDY_DEADLINE="5s", STUDY_AFTER='echo "after $1" >> "$CALLS"')
    assert machine.give_notice(number) == 75
    assert machine.calls[-2:] == ["watch saves", "after 75"]
    assert "watch --deadline 5s" in machine.calls
    (machine.study / "made").touch()
    code, said = machine.run()
    assert code == 0, said
    assert (machine.study / "made").exists()
    assert machine.calls.count("restore") == 2


def test_a_notice_that_leaves_something_unsaved_is_not_followed_by_another_backup(
    machine: Machine,
) -> None:
    machine.start(SAVED="1")
    assert machine.give_notice(signal.SIGTERM) == 75
    assert machine.calls[-1] == "watch saves"


def test_a_notice_before_the_study_ends_the_preparation(machine: Machine) -> None:
    process = machine.start(INSTALLING="60", STUDY_AFTER='echo "after $1" >> "$CALLS"')
    machine.wait_for("install")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=10) == 75
    assert machine.calls == ["install", "after 75"]


def test_a_watch_that_dies_is_begun_again(machine: Machine) -> None:
    machine.start(DYING="1")
    machine.wait_for("watch --deadline", 2)
    assert machine.give_notice(signal.SIGUSR1) == 75
    assert machine.calls[-1] == "watch saves"


def test_a_study_goes_on_elsewhere_from_its_branch(machine: Machine) -> None:
    assert machine.run()[0] == 0
    (machine.study / "results").write_text("1\n")
    git(machine.study, "add", "results")
    git(machine.study, "commit", "--quiet", "--message", "Results")
    git(machine.study, "push", "--quiet", "origin", "run/default")
    code, said = machine.run(STUDY_FOLDER=str(machine.folder / "elsewhere"))
    assert code == 0, said
    assert (machine.folder / "elsewhere" / "results").exists()


def test_another_commit_under_the_same_name_is_refused(machine: Machine) -> None:
    assert machine.run()[0] == 0
    code, said = machine.run(STUDY_COMMIT=git(machine.repository, "rev-parse", "main"))
    assert code == 2
    assert "is on another study" in said
    assert "STUDY_NAME" in said


def test_overlays_are_used_once_and_again_where_that_was_cut_off(machine: Machine) -> None:
    machine.run(STUDY_OVERLAYS="pair gsm8k", BREAKS="gsm8k")
    assert "gsm8k" not in (machine.study / "params.yaml").read_text()
    for _ in range(2):
        code, said = machine.run(STUDY_OVERLAYS="pair gsm8k")
        assert code == 0, said
        assert (machine.study / "params.yaml").read_text() == "seed: 1\npair: 1\ngsm8k: 1\n"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"STUDY_COMMIT": ""}, "STUDY_COMMIT is not set"),
        (
            {"STUDY_REPOSITORY": "https://me:token@host/x"},  # pragma: allowlist secret
            "has a key in it",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused_before_anything_is_done(
    machine: Machine, variables: dict[str, str], words: str
) -> None:
    code, said = machine.run(None, **variables)
    assert (code, machine.study.exists()) == (2, False)
    assert words in said
    assert "token" not in said


# --- SkyPilot

TOP = {
    "name",
    "resources",
    "envs",
    "secrets",
    "file_mounts",
    "setup",
    "run",
    "workdir",
    "num_nodes",
}
RESOURCES = {"infra", "accelerators", "cpus", "memory", "use_spot", "disk_size", "any_of"}
RESOURCES |= {"job_recovery", "image_id", "ordered", "disk_tier", "autostop", "ports", "labels"}
RECOVERY = {"strategy", "max_restarts_on_errors", "recover_on_exit_codes"}


def test_the_task_of_skypilot_has_documented_fields_only() -> None:
    resources = TASK["resources"]
    assert set(TASK) <= TOP
    assert set(resources) <= RESOURCES
    assert all(set(one) <= RESOURCES for one in resources["any_of"])
    assert set(resources["job_recovery"]) <= RECOVERY
    assert resources["use_spot"] is True
    assert resources["job_recovery"]["recover_on_exit_codes"] == [75]
    assert {one["infra"] for one in resources["any_of"]} == {"aws", "gcp", "azure"}
    assert all(value in (None, "") for value in TASK["secrets"].values())
    assert all((PROJECT_ROOT / path).is_file() for path in TASK["file_mounts"].values())


def test_skypilot_takes_the_task_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sky")
    import sky  # type: ignore[import-not-found]

    monkeypatch.chdir(PROJECT_ROOT)
    given = {name: "x" for name, value in TASK["envs"].items() if value is None}
    secrets = {name: "x" for name, value in TASK["secrets"].items() if value is None}
    sky.Task.from_yaml_config(
        TASK, env_overrides=list(given.items()), secrets_overrides=list(secrets.items())
    )


@pytest.mark.parametrize(
    ("cloud", "options"),
    [
        ("AWS", "--deadline 90s --aws"),
        ("GCP", "--deadline 20s --gcp"),
        ("Azure", "--deadline 20s --azure"),
    ],
)
def test_skypilots_run_asks_the_cloud_that_it_is_on(
    machine: Machine, cloud: str, options: str
) -> None:
    shutil.copy(PROJECT_ROOT / TASK["file_mounts"]["~/run.sh"], machine.folder / "run.sh")
    script = machine.folder / "task.sh"
    script.write_text(TASK["run"])
    empty = {name: value for name, value in TASK["envs"].items() if value == ""}
    info = json.dumps({"cluster_name": "x", "cloud": cloud, "region": "y"})
    code, said = machine.run(script, SKYPILOT_CLUSTER_INFO=info, **empty)
    assert code == 0, said
    assert f"watch {options}" in machine.calls
    assert (machine.folder / "mats-backtracking" / ".git").is_dir()


# --- Slurm

SBATCH = {
    "job-name": r"\w+",
    "array": r"\d+-\d+",
    "gres": r"gpu:\d+",
    "cpus-per-task": r"\d+",
    "mem": r"\d+G",
    "time": r"\d+:\d\d:\d\d",
    "signal": r"B:USR1@120",
    "requeue": r"",
    "open-mode": r"append",
    "output": r"\S+-%A-%a\.log",
}
SLURM = {"SLURM_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "1", "SLURM_SUBMIT_DIR": str(PROJECT_ROOT)}


def test_slurms_options_are_documented_ones() -> None:
    lines = (RECIPES / "slurm.sh").read_text().splitlines()
    head = lines[: next(n for n, line in enumerate(lines) if not line.startswith("#"))]
    options = [line.removeprefix("#SBATCH --") for line in head if line.startswith("#SBATCH")]
    found = {name: value for name, _, value in (one.partition("=") for one in options)}
    assert {name: bool(re.fullmatch(SBATCH[name], found[name])) for name in found} == dict.fromkeys(
        SBATCH, True
    )


def test_sbatch_knows_the_options_where_it_is_installed(tmp_path: Path) -> None:
    if shutil.which("sbatch") is None:
        pytest.skip("no sbatch is on the path")
    done = subprocess.run(
        ["sbatch", "--test-only", str(RECIPES / "slurm.sh")],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert not re.search(r"unrecognized option|Invalid --", done.stderr), done.stderr


def test_a_slurm_job_is_a_study_of_its_own_and_goes_back_into_the_queue(machine: Machine) -> None:
    machine.tool("scontrol")
    variables = {**SLURM, "STUDIES": "tiny\npair gsm8k", "STUDY_FOLDERS": f"{machine.folder}/all"}
    machine.start(RECIPES / "slurm.sh", **variables)
    assert machine.give_notice(signal.SIGUSR1) == 75
    assert machine.calls[-2:] == ["watch saves", "scontrol requeue 4711"]
    code, said = machine.run(RECIPES / "slurm.sh", **variables)
    assert code == 0, said
    assert sum(call.startswith("scontrol") for call in machine.calls) == 1
    folder = machine.folder / "all" / "pair-gsm8k"
    assert git(folder, "branch", "--show-current") == "run/pair-gsm8k"


def test_a_slurm_job_without_a_study_says_so(machine: Machine) -> None:
    code, said = machine.run(RECIPES / "slurm.sh", **{**SLURM, "SLURM_ARRAY_TASK_ID": "7"})
    assert (code, machine.calls) == (2, [])
    assert "STUDIES has no line 7" in said


# --- RunPod and Vast


def ended(machine: Machine) -> None:
    (machine.folder / "done").touch()


def test_runpods_first_process_hears_sigterm_and_stops_the_pod_at_the_end(
    machine: Machine,
) -> None:
    machine.tool("runpodctl")
    machine.start(RECIPES / "runpod.sh", RUNPOD_POD_ID="pod")
    assert machine.give_notice(signal.SIGTERM) == 75
    assert "watch --deadline 5s" in machine.calls
    assert machine.calls[-1] == "watch saves"
    ended(machine)
    process = machine.start(RECIPES / "runpod.sh", RUNPOD_POD_ID="pod")
    machine.wait_for("runpodctl stop pod pod")
    assert process.poll() is None  # a container that ends is started again
    process.terminate()
    assert process.wait(timeout=10) == 0


def test_vasts_start_script_leaves_the_study_running_with_a_log(machine: Machine) -> None:
    process = machine.start(RECIPES / "vast.sh")
    assert process.wait(timeout=30) == 0
    machine.wait_for(f"watch --deadline 60s --notice-file {machine.folder}/stop")
    ended(machine)
    machine.wait_for("watch saves")
    assert machine.study.with_name("study.log").exists()


@pytest.mark.parametrize("name", ["runpod.sh", "vast.sh"])
def test_a_start_command_fits_where_it_is_typed(name: str) -> None:
    text = (RECIPES / name).read_text()
    code = "".join(line for line in text.splitlines(True) if not line.startswith("#"))
    assert len(text) < 4096
    assert "'" not in code  # it stands within quotes
