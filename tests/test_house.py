"""The house itself: what the repository promises by its names, and what no commit may hold."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from backtracking import PROJECT_ROOT
from backtracking.runtime import profile
from lifeboat.git import commit

TARGETS = [
    "help",
    "install",
    "doctor",
    "smoke",
    "notebook",
    "lint",
    "format",
    "test",
    "snapshot",
    "push",
    "backup",
    "reproduce",
    "lock",
]
SCRIPTS = ["activate_env.sh", "doctor.sh", "run_smoke_test.py", "snapshot_run.sh", "push_all.sh"]
FOLDERS = [
    "src/backtracking",
    "scripts",
    "notebooks",
    "configs",
    "data/raw",
    "data/interim",
    "data/processed",
    "results",
    "figures",
    "reports",
    "runs",
    "models",
    "docs",
    "tests",
]
IGNORED = """\
/data/*/?*
!/data/*/.gitkeep
!/data/*/*.dvc
/models/?*
!/models/.gitkeep
!/models/*.dvc
/results/*/
!/results/tables/
!/results/real_traces/
"""
NOT_ACCOUNTS = {"CUDA_VISIBLE_DEVICES", "DVC_ROOT", "PATH", "PYTHONPATH", "TMPDIR", "USER"}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT_ROOT, check=True, capture_output=True, text=True
    ).stdout
    paths = [PROJECT_ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def text_of(path: Path) -> str:
    return path.read_text(errors="replace")


def test_make_help_lists_every_target_with_what_it_does() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=PROJECT_ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "MAKEFLAGS": ""},
    )
    shown = dict(re.findall(r"^  make (\S+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert set(TARGETS) <= set(shown)


@pytest.mark.parametrize("target", ["snapshot", "push", "backup", "doctor", "smoke", "reproduce"])
def test_a_target_calls_the_verb_of_its_name(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target],
        cwd=PROJECT_ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "MAKEFLAGS": ""},
    )
    assert f".venv/bin/backtracking {target}" in done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_there_and_can_be_run(name: str) -> None:
    path = PROJECT_ROOT / "scripts" / name
    assert os.access(path, os.X_OK)
    if name.endswith(".sh"):
        subprocess.run(["bash", "-n", path], check=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_the_seeds_tree_is_there(name: str) -> None:
    assert (PROJECT_ROOT / name).is_dir()


def test_the_environment_file_names_every_variable_that_the_code_reads() -> None:
    code = "\n".join(text_of(path) for path in (PROJECT_ROOT / "src").rglob("*.py"))
    read = set(re.findall(r"""environ(?:\.get\(|\[)\s*["']([A-Z0-9_]+)["']""", code))
    assert read, "nothing found: the pattern is out of date"
    assert read - NOT_ACCOUNTS <= set(dotenv_values(PROJECT_ROOT / ".env.example"))


def test_every_variable_of_the_environment_file_is_explained_and_none_is_filled_in() -> None:
    lines = text_of(PROJECT_ROOT / ".env.example").splitlines()
    names = [line.partition("=")[0] for line in lines if "=" in line and not line.startswith("#")]
    expected = {"HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
    expected |= {"JUDGE_API_KEY", "TRACES_API_KEY"}
    expected |= {"AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"}
    expected |= {f"WANDB_{part}" for part in ("API_KEY", "PROJECT", "ENTITY", "MODE", "DIR")}
    assert expected == set(names)
    paragraphs = [text for text in "\n".join(lines).split("\n\n") if "=" in text]
    assert all("#" in paragraph for paragraph in paragraphs)
    values = dotenv_values(PROJECT_ROOT / ".env.example")
    filled = {name for name, value in values.items() if value}
    assert filled == {name for name in values if "CHECKSUM" in name}


def test_ignored_paths_are_exactly_the_ones_that_dvc_holds() -> None:
    assert text_of(PROJECT_ROOT / ".gitignore").startswith(IGNORED)


@pytest.mark.parametrize(
    "name",
    [".env", "uv.lock", ".venv/x", "logs/x", "scratch/x", ".cache/x", "wandb/x", "dvc_plots/x"],
)
def test_what_stays_on_the_machine_is_ignored(name: str) -> None:
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--quiet", name], cwd=PROJECT_ROOT, check=False
    )
    assert done.returncode == 0


def test_dvc_is_set_up_for_clones_links_and_silence() -> None:
    config = text_of(PROJECT_ROOT / ".dvc" / "config")
    for line in ("analytics = false", "autostage = false", "check_update = false"):
        assert line in config
    assert 'type = "hardlink,symlink"' in config
    assert "url = ~/.local/share/mats-backtracking/remote" in config


def test_no_tracked_file_holds_the_address_of_a_package_registry() -> None:
    hosts = ["pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org"]
    options = re.compile(r"(?m)^\s*(--(extra-)?index-url|--find-links|-i https?:|registry = )")
    found = [
        path.relative_to(PROJECT_ROOT)
        for path in tracked()
        if any(host in text_of(path) for host in hosts) or options.search(text_of(path))
    ]
    assert found == []


@pytest.mark.slow
def test_nothing_tracked_would_be_refused_by_our_own_push() -> None:
    paths = [str(path.relative_to(PROJECT_ROOT)) for path in tracked()]
    assert [item.fact for item in commit.refusals(PROJECT_ROOT, paths)] == []


def test_hooks_come_from_the_environment_and_not_from_a_host() -> None:
    hooks = text_of(PROJECT_ROOT / ".pre-commit-config.yaml")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]


def test_a_merge_of_nothing_leaves_params_yaml_byte_for_byte() -> None:
    text = text_of(PROJECT_ROOT / "params.yaml")
    assert profile.merged(text, {}, "nothing") == (text, [])


def test_every_overlay_fits_params_yaml(tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(PROJECT_ROOT / "configs")
    for name in profile.names(PROJECT_ROOT):
        (tmp_path / "params.yaml").write_text(text_of(PROJECT_ROOT / "params.yaml"))
        profile.use(tmp_path, name)


def test_the_experiment_log_has_the_seeds_template() -> None:
    log = text_of(PROJECT_ROOT / "reports" / "experiment_log.md")
    for part in ("**Goal:**", "**Setup:**", "**Results:**", "**Next steps:**", "**Commit:**"):
        assert part in log
