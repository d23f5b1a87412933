"""What the mains of all stages share: the project's root from the command line, and the ending."""

import argparse
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from backtracking import PROJECT_ROOT
from backtracking.runtime import pins
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import failures, interruption, preloaded


def run_stage(
    stage: Callable[[Workspace, str], None], argv: Sequence[str] | None, *, role: bool = False
) -> None:
    """Runs a stage's work on a workspace, with its signals and all of its errors readable.

    Args:
        stage: called with the workspace and the role (empty where the stage takes none).
        argv: command line, or None for the process's own.
        role: whether the stage takes the role of a model as its argument.

    Raises:
        SystemExit: with code 1 and one paragraph on standard error, for whatever fails.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default=str(PROJECT_ROOT), help="the project's folder")
    parser.add_argument("--debug", action="store_true", help="show the traceback of what fails")
    if role:
        parser.add_argument("role", help="role of the model: base, reasoning, a control")
    options = parser.parse_args(argv)
    if argv is None:
        gc.freeze()  # what was imported is not garbage either
        gc.enable()
        interruption.install()
        _quieten()
    root = Path(options.root).resolve()
    failures.setting.root, failures.setting.debug = root, options.debug
    try:
        _run(stage, root, options.role if role else "")
    except SystemExit as end:
        if argv is not None:
            raise
        preloaded.leave(end.code)
    if argv is None:
        preloaded.leave(0)


def _run(stage: Callable[[Workspace, str], None], root: Path, role: str) -> None:
    try:
        workspace = Workspace(root)
        pins.require(workspace.params)
        stage(workspace, role)
    except Exception as error:
        print(f"error: {failures.told(error)}", file=sys.stderr)
        raise SystemExit(1) from None


def _quieten() -> None:
    """No warnings of transformers, and its bars on terminals alone: a log has no use for them."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if "transformers" in sys.modules and not sys.stderr.isatty():
        sys.modules["transformers"].utils.logging.disable_progress_bar()
