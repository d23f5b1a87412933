"""How a stage's process ends: at once, with all that is registered for the end."""

import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

BODY = """
import atexit, sys, tempfile, threading, time
from pathlib import Path
from backtracking.runtime.command import run_stage
from lifeboat.stage import interruption
from lifeboat.stage.errors import UserError

def stage(workspace, role):
    temporary = tempfile.TemporaryDirectory(dir=workspace.root)
    globals()["kept"] = temporary
    atexit.register(lambda: print("registered"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("joined"))).start()
    print("worked", end="")
    {end}

class Slow:
    def __del__(self):
        print("taken apart")

slow = Slow()
sys.argv[1:] = ["--root", sys.argv[1]]
run_stage(stage, None)
"""
ENDS = {
    "well": ("pass", 0, ""),
    "an error that is told": ("raise UserError('No such thing.', 'Make it.')", 1, "No such thing."),
    "any other error": ("raise ZeroDivisionError('by zero')", 1, "by zero"),
    "asked to stop": ("interruption._requested = True; interruption.checkpoint()", 75, ""),
    "words for a code": ("raise SystemExit('why')", 1, "why"),
    "no code": ("raise SystemExit", 0, ""),
}


@pytest.mark.parametrize("name", ENDS)
def test_it_ends_at_once_and_leaves_nothing_undone(name: str, tmp_path: Path) -> None:
    end, code, said = ENDS[name]
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    run = subprocess.run(
        [sys.executable, "-c", BODY.replace("{end}", end), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stderr
    assert run.stdout.startswith("worked") and "joined" in run.stdout
    assert "registered" in run.stdout and "taken apart" not in run.stdout
    assert said in run.stderr
    assert {one.name for one in tmp_path.iterdir()} <= {"params.yaml", "logs"}
