"""The study as its users run it: real dvc, git and S3 servers, on tiny parameters."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import servers
from project import REPRO, ROOT, call, environment, make_project, stages_run
from tracked import read_runs

from backtracking.runtime import params

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A clone that shares the project's data, to change at will."""
    return clone_of(project, tmp_path / "copy")


SMOKE = "results/smoke/metrics.json"
"""What smoke finds on this machine, which neither git nor a remote has."""


def clone_of(project: Path, clone: Path) -> Path:
    """A clone with the data of a project, whose cache it shares; it stands on the same machine."""
    call(clone.parent, "git", "clone", "-q", str(project), str(clone))
    cache = f"[cache]\n    dir = {project / '.dvc' / 'cache'}\n"
    (clone / ".dvc" / "config.local").write_text(cache)
    call(clone, "dvc", "checkout")
    (clone / SMOKE).parent.mkdir(parents=True)
    shutil.copyfile(project / SMOKE, clone / SMOKE)
    return clone


@pytest.fixture(scope="module")
def other(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A clone on whose branch `other` a parameter of directions differs, and the stages it ran."""
    clone = clone_of(project, tmp_path_factory.mktemp("other") / "copy")
    call(clone, "git", "checkout", "-qb", "other")
    ran = run_in(clone, "dvc", "exp", "run", "-S", "directions.n_strata=2")
    call(clone, "git", "commit", "-qam", "other")
    return clone, ran


def run_in(copy: Path, *command: str) -> list[str]:
    """The stages that a command ran, but for smoke, which every new folder runs once."""
    return [stage for stage in stages_run(call(copy, *command)) if stage != "smoke"]


def test_a_second_repro_runs_nothing_and_the_tree_is_as_committed(project: Path) -> None:
    assert stages_run(call(project, *REPRO)) == []
    assert call(project, "git", "status", "--porcelain") == ""


def test_first_repro_changed_only_the_lock_results_and_figures(project: Path) -> None:
    changed = call(project, "git", "diff", "--name-only", "HEAD~1", "HEAD").split()
    assert changed
    assert all(name == "dvc.lock" or name.startswith(("results/", "figures/")) for name in changed)


def test_an_out_its_cache_object_and_its_shard_are_one_inode(project: Path) -> None:
    shards = list((project / "data/interim/activations").glob("*/*.safetensors"))
    assert shards
    for shard in shards:
        inode = shard.stat().st_ino
        in_store = project / ".cache/store" / shard.relative_to(project)
        assert in_store.stat().st_ino == inode
        cached = [p for p in (project / ".dvc/cache/files").rglob("*") if p.stat().st_ino == inode]
        assert len(cached) == 1


def test_a_directions_parameter_reruns_only_what_is_downstream_of_it(
    other: tuple[Path, list[str]],
) -> None:
    _copy, ran = other
    assert (ran[0], ran[-2:]) == ("directions", ["summary", "report"])
    # power reads the spread within problems, which may come out the same
    assert set(ran[1:-2]) | {"power"} == {"lens", "steer", "belief", "effects", "power"}


TOLD = ["summary", "report"]
"""The stages that only tell what others found."""


def test_a_summary_parameter_reruns_what_is_told_alone(copy: Path) -> None:
    assert run_in(copy, "dvc", "exp", "run", "-S", "summary.digits=2") == TOLD


def test_a_role_that_is_taken_away_leaves_no_stage_and_no_folder(copy: Path) -> None:
    before = call(copy, "dvc", "stage", "list", "--name-only").split()
    said = call(copy, "backtracking", "--root", ".", "profile", "use", "pair")
    assert "models/alien belongs to no role: moved to .cache/aside/models/alien." in said
    gone = set(before) - set(call(copy, "dvc", "stage", "list", "--name-only").split())
    roles = ("shuffled", "nostatement-base", "nostatement", "alien", "alien-base")
    assert gone == {f"{stage}@{role}" for stage in ("weights", "extract") for role in roles}
    ran = run_in(copy, "dvc", "--wait-for-lock", "repro", "directions")
    # The overlay asks the base for permuted traces, too.
    assert not set(ran) & {"problems", "weights@base", "traces", "label"}
    assert {"extract@base", "directions"} <= set(ran)
    call(copy, "git", "checkout", "params.yaml")
    call(copy, "dvc", "checkout")
    assert (copy / "models" / "alien" / "model.safetensors").is_file()


def test_metrics_and_plots_diff_between_branches_show_the_change(
    other: tuple[Path, list[str]],
) -> None:
    copy, _ran = other
    changes = json.loads(call(copy, "dvc", "metrics", "diff", "main", "other", "--json"))
    (change,) = changes.values()
    assert {"effect", "split_half"} & set(change)
    call(copy, "dvc", "plots", "diff", "main", "other", "-o", "plots")
    page = (copy / "plots" / "index.html").read_text()
    assert "Training loss" in page
    assert "Dose response" in page


def test_a_docstring_in_a_figure_reruns_the_stage_that_draws_alone(copy: Path) -> None:
    figure = copy / "src/backtracking/figures/dose.py"
    before = figure.read_text()
    figure.write_text(before.replace('"""', '"""Now: ', 1))
    assert figure.read_text() != before
    assert run_in(copy, *REPRO) == ["report"]


def test_two_models_are_extracted_at_once_as_stages_of_two_roles(copy: Path) -> None:
    roles = ("base", "reasoning")
    before = {role: shards_of(copy, role) for role in roles}
    file = copy / "params.yaml"
    text = file.read_text()
    file.write_text(re.sub(r"\n  means: true", "\n  means: false", text, count=1))
    assert file.read_text() != text
    at_once = [
        subprocess.Popen([*REPRO, "-s", f"extract@{role}"], cwd=copy, env=environment())
        for role in roles
    ]
    assert [process.wait(300) for process in at_once] == [0, 0]
    for role in roles:
        assert shards_of(copy, role).isdisjoint(before[role])
        assert "up to date" in call(copy, "dvc", "status", f"extract@{role}")


def shards_of(project: Path, role: str) -> set[str]:
    """Names of a role's shards."""
    folder = project / "data/interim/activations" / role
    return {path.name for path in folder.glob("*.safetensors")}


def test_an_experiment_in_a_folder_of_its_own_leaves_the_workspace_as_it_is(copy: Path) -> None:
    before = (copy / "results/summary.json").read_bytes()
    said = call(copy, "dvc", "exp", "run", "--temp", "--name", "apart", "-S", "summary.digits=2")
    assert set(stages_run(said)) - {"smoke"} <= set(TOLD), said
    assert call(copy, "git", "status", "--porcelain") == ""
    assert (copy / "results/summary.json").read_bytes() == before
    call(copy, "dvc", "exp", "apply", "apart")
    assert "digits: 2" in (copy / "params.yaml").read_text()
    assert (copy / "results/summary.json").read_bytes() != before


SWEEP = "directions.n_strata=2,3,6"
"""The parameter of the sweep that docs/looking.md shows."""
NARROW = 120
"""Columns of a terminal; DVC writes the whole width where nobody looks."""


def test_the_sweep_of_the_docs_runs_the_code_that_was_queued_and_is_shown_in_a_terminal(
    copy: Path,
) -> None:
    page = (ROOT / "docs" / "looking.md").read_text()
    (block,) = re.findall(r"```bash\n(dvc exp run .*?)```", page, re.DOTALL)
    assert block in (ROOT / "README.md").read_text()
    queue, start, show = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert SWEEP in queue
    call(copy, *[one.replace(SWEEP, "summary.digits=2,3") for one in queue])
    live = copy / "src/backtracking/stages/summary.py"
    live.write_text("raise SystemExit('the live workspace was imported')\n")
    call(copy, *start)
    wait_for(lambda: not re.search("Queued|Running", call(copy, "dvc", "queue", "status")), 900)
    status = call(copy, "dvc", "queue", "status")
    assert status.count("Success") == 2, status
    shown = call(copy, *show)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= NARROW
    assert "digits" in shown and "sha256" not in shown
    assert "the live workspace" not in call(copy, "dvc", "exp", "show", "--json")
    changes = call(copy, "dvc", "exp", "list", "--name-only").split()
    told = call(copy, "dvc", "metrics", "diff", "main", changes[0])
    assert "results/metrics.json" in told and max(map(len, told.splitlines())) <= NARROW
    call(copy, "dvc", "plots", "diff", "main", *changes, "-o", "plots")
    page = (copy / "plots" / "index.html").read_text()
    for title in ("Training loss", "Dose response", "Decoding before a decision"):
        assert title in page
    assert "DVC_METRIC" not in page and all(name in page for name in changes)
    call(copy, "dvc", "queue", "stop", "--kill", check=False)


def test_stages_are_told_to_a_tracker_that_is_offline(copy: Path) -> None:
    call(copy, *REPRO, "-f", "-s", "summary", extra={"WANDB_MODE": "offline"})
    runs = read_runs(copy / "wandb")
    lock = params.read(copy / "dvc.lock")["stages"]
    stages = set(lock) - {"report"}
    assert set(runs) == stages
    for name in stages:
        outs = {one["path"]: one["md5"] for one in lock[name]["outs"]}
        assert runs[name].config["dvc"]["outs"] == outs
    assert runs["summary"].summary["solved"] is not None and runs["weights@base"].history
    said = call(
        copy, "backtracking", "--root", ".", "track", "--direction", extra={"WANDB_MODE": "offline"}
    )
    assert "1 stages: report." in said and "is an artifact" in said


def test_a_killed_repro_ends_its_stage_and_resumes_to_the_same_lock(
    project: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "killed")
    env = environment()
    env.pop("SHELL", None)
    with (tmp_path / "log").open("w") as log:
        repro = subprocess.Popen(
            [*REPRO, "weights@reasoning"], cwd=folder, env=env, stdout=log, stderr=log
        )
        store = folder / ".cache/store/models/reasoning"
        base = folder / "models/base/config.json"
        assert wait_for(lambda: base.is_file() and any(store.glob("*.safetensors")), 240)
        repro.send_signal(signal.SIGTERM)
        repro.wait(timeout=60)
    assert wait_for(lambda: not running_in(folder), 60), "the stage outlived dvc"
    assert not (folder / "models/reasoning").exists()
    call(folder, *REPRO, "weights@reasoning")
    for name in ("base", "reasoning"):
        weights = folder / "models" / name / "model.safetensors"
        assert weights.read_bytes() == (project / "models" / name / weights.name).read_bytes()


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def running_in(folder: Path) -> list[str]:
    """Stage processes whose working directory is the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
            if "backtracking.stages" in command and os.readlink(process / "cwd") == str(folder):
                found.append(command)
        except OSError:
            continue
    return found


@pytest.fixture(params=servers.KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A real S3 server on loopback with the bucket `study`."""
    with servers.serve(request.param, tmp_path) as url:
        yield url


def test_what_is_pushed_is_pulled_into_a_fresh_clone_and_nothing_is_left_to_do(
    copy: Path, tmp_path: Path, endpoint: str
) -> None:
    call(
        copy,
        "backtracking",
        "--root",
        ".",
        "remote",
        "set",
        "s3://study/data",
        "--endpoint",
        endpoint,
    )
    config = (copy / ".dvc" / "config").read_text()
    assert endpoint in config
    assert servers.PHRASE not in config
    call(copy, "git", "commit", "-qam", "remote")
    call(copy, "dvc", "push", extra=servers.CREDENTIALS)
    fresh = tmp_path / "fresh"
    call(tmp_path, "git", "clone", "-q", str(copy), str(fresh))
    assert not (fresh / "models" / "base").exists()
    call(fresh, "dvc", "pull", check=False, extra=servers.CREDENTIALS)
    assert (fresh / "models" / "base" / "model.safetensors").is_file()
    # smoke belongs to the machine and is in no remote: a fresh clone runs it once, and only it
    assert stages_run(call(fresh, *REPRO)) in ([], ["smoke"])
    assert call(fresh, "git", "status", "--porcelain") == ""
