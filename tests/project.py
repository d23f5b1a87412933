"""A copy of this project as its own repository, on tiny parameters, for real processes."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtracking.runtime import params, profile

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
REPRO = ("dvc", "--wait-for-lock", "repro")


def environment(**extra: str) -> dict[str, str]:
    """The environment of a child process: this Python first, one thread, no tracking."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "AWS", "DVC", "GIT"))}
    return keep | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "A Test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "A Test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        **extra,
    }


def call(
    folder: Path, *command: str, check: bool = True, extra: dict[str, str] | None = None
) -> str:
    """What a command prints, both streams together; with `check` its exit code must be 0."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**(extra or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert not check or done.returncode == 0, f"{command} exited {done.returncode}:\n{done.stdout}"
    return done.stdout


def write_tiny_params(target: Path, *overlays: Mapping[str, Any]) -> None:
    """params.yaml with the overlay configs/tiny.yaml, as `profile use tiny` writes it.

    Args:
        target: the file.
        overlays: further ones, one after the other.
    """
    text = (ROOT / "params.yaml").read_text()
    for overlay in (params.read(ROOT / "configs" / "tiny.yaml"), *filter(None, overlays)):
        text = _merged(text, json.dumps(overlay))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


@functools.cache
def _merged(text: str, overlay: str) -> str:
    """Parameters under an overlay; of many workspaces alike, which take half a second each."""
    return profile.merged(text, json.loads(overlay), "an overlay")[0]


def make_project(folder: Path) -> Path:
    """The files of the working tree, committed to a new repository, with tiny parameters."""
    listed = call(ROOT, "git", "ls-files", "-co", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    write_tiny_params(folder / "params.yaml")
    (folder / "dvc.lock").unlink(missing_ok=True)
    call(folder, "git", "init", "-q", "-b", "main")
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "-qm", "tiny")
    return folder


def stages_run(output: str) -> list[str]:
    """Names of the stages that DVC says it ran, in order."""
    marker = "Running stage '"
    return [
        line.split(marker, 1)[1].split("'", 1)[0] for line in output.splitlines() if marker in line
    ]
