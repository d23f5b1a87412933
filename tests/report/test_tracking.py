import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from backtracking.report import tracking

KEY = "0123abcd" * 5


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("HOME", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "off"),
        ({"WANDB_API_KEY": KEY}, "online"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_MODE": "online"}, "off"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "off"),
        ({"WANDB_API_KEY": ""}, "off"),
    ],
)
def test_the_mode_follows_the_key_and_the_wish(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracking.mode() == expected


def test_without_a_key_nothing_is_written(tmp_path: Path) -> None:
    with tracking.run("directions", {"seed": 1}, tmp_path) as run:
        run.log({"loss": 1.0})
        run.summary({"solve_rate": 0.85})
    assert not (tmp_path / "wandb").exists()


def recorded(folder: Path, code: str, **variables: str) -> bytes:
    """The run file that a process of its own leaves below `folder` once it has ended."""
    program = f"from pathlib import Path\nfrom backtracking.report import tracking\n{code}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT / "src"),
        "WANDB_MODE": "offline",
        **variables,
    }
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, check=True)
    (file,) = folder.rglob("offline-run-*/run-*.wandb")
    return file.read_bytes()


AWS_SECRET = "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCYzQ9aB3dE7f"  # pragma: allowlist secret
PLANTED = {
    "note": "use hf_" + "aB3" * 11,
    "list": [{"deep": "AKIA" + "ABCDEFGH12345678"}],
    "remote": "s3://me:" + "pa55word@host/x",
    "code": "ghp_" + "a1B2" * 9,
    "fine": "github_pat_" + "11ABCDEFG0" * 5,
    "server": "sk-" + "proj-a1B2c3D4e5F6g7H8",
    "tracker": "wandb_v1_" + "aB3" * 11,
    "line": f"WANDB_API_KEY={KEY}",
    "aws_secret_access_key": AWS_SECRET,
    "api_key": KEY,
    "my_pass" + "word": "open sesame",
}
SECRETS = [
    *("aB3" * 11, "ABCDEFGH12345678", "pa55word", "a1B2" * 9, "11ABCDEFG0" * 5),
    *("proj-a1B2c3D4e5F6g7H8", KEY, AWS_SECRET, "open sesame"),
]


def test_an_offline_run_is_a_file_with_its_numbers_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"seed": 1717, **PLANTED}))
    code = (
        "import json\nconfig = json.loads(Path('config.json').read_text())\n"
        "Path('config.json').unlink()\n"
        "with tracking.run('directions', config, Path.cwd()) as run:\n"
        "    for step in range(3):\n"
        "        run.log({'loss': 1.0 / (step + 1)})\n"
        "    run.summary({'solve_rate': 0.8571})\n"
    )
    data = recorded(tmp_path, code)
    for part in (b"directions", b"loss", b"solve_rate", b"0.8571", b"1717", b"[redacted]"):
        assert part in data
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for part in (*(secret.encode() for secret in SECRETS), b"diff --git"):
        assert part not in written


def test_the_folder_and_the_project_come_from_the_environment(tmp_path: Path) -> None:
    code = "with tracking.run('steer', {}, Path.cwd() / 'root'):\n    pass\n"
    elsewhere = str(tmp_path / "elsewhere")
    data = recorded(tmp_path, code, WANDB_DIR=elsewhere, WANDB_PROJECT="a-project-of-mine")
    assert b"a-project-of-mine" in data
    assert list((tmp_path / "elsewhere").rglob("run-*.wandb"))
    assert not (tmp_path / "root").exists()


def test_a_stage_that_fails_fails_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(ZeroDivisionError), tracking.run("steer", {}, tmp_path) as run:
        run.log({"loss": 1 / 0})


def test_a_tracker_that_fails_is_a_warning_and_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "wandb").write_text("a file where the folder should be")
    with (
        pytest.warns(UserWarning, match="W&B failed and this run is not tracked further"),
        tracking.run("steer", {}, tmp_path) as run,
    ):
        run.log({"loss": 1.0})
    assert (tmp_path / "wandb").read_text() == "a file where the folder should be"


def test_a_run_that_breaks_in_the_middle_warns_once() -> None:
    class Broken:
        def log(self, values: dict[str, float]) -> None:
            raise ConnectionError(f"no route, key hf_{'aB3' * 11}")

    run = tracking.Run(Broken())
    with pytest.warns(UserWarning, match="no route") as caught:
        run.log({"loss": 1.0})
    run.log({"loss": 1.0})
    run.summary({"x": 1})
    assert not re.search("hf_a", json.dumps(str(caught[0].message)))
