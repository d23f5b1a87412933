"""The tiny study on a cluster whose machines are killed: the bytes of one machine."""

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import ray_cluster
import yaml
from project import call, environment

pytestmark = pytest.mark.slow

WITH_UNITS = (
    *("traces", "grade", "extract@base", "stability", "probe", "steer", "ablate", "belief"),
    "transitions",
)
"""Stages that make units on a cluster; of `extract` one role's."""

_RUNNING = re.compile(r"Running stage '([^']+)'")


def outs(folder: Path) -> dict[str, Any]:
    """The outs of every stage with their hashes."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    return {name: stage["outs"] for name, stage in lock["stages"].items()}


def lose_machines(made: Any, child: subprocess.Popen[bytes], said: Path) -> list[str]:
    """Kills a machine that has a task, once in each stage that makes units; returns where."""
    killed: list[str] = []
    deadline = time.monotonic() + 3000
    while child.poll() is None:
        assert time.monotonic() < deadline, said.read_text()
        stage = [None, *_RUNNING.findall(said.read_text())][-1]
        if stage in WITH_UNITS and stage not in killed:
            node = ray_cluster.busy(made)
            if node is not None:
                killed.append(stage)
                ray_cluster.kill(made, node)
                ray_cluster.add(made)
        time.sleep(0.2)
    return killed


def test_outs_are_those_of_one_machine_whatever_dies(project: Path, tmp_path: Path) -> None:
    folder, said = tmp_path / "project", tmp_path / "said"
    shutil.copytree(project, folder, symlinks=True)
    expected = outs(folder)
    for path in (folder / ".cache/store/data", folder / ".cache/store/results"):
        shutil.rmtree(path)
    with ray_cluster.machines(head=0) as made, said.open("wb") as file:
        command = ("backtracking", "--root", ".", "reproduce", "--ray", made.address, "--")
        again = ("--force", "--single-item", "--no-run-cache", *WITH_UNITS)
        with subprocess.Popen(
            [*command, *again], cwd=folder, env=environment(), stdout=file, stderr=file
        ) as child:
            try:
                killed = lose_machines(made, child, said)
            finally:
                child.kill()
    assert child.returncode == 0, said.read_text()
    assert outs(folder) == expected
    assert sorted(killed) == sorted(WITH_UNITS)
    assert call(folder, "git", "status", "--short", "results") == ""
