"""How long each stage took when it last finished: `logs/stage_seconds.json` and its snapshots.

A time is of a study: another model, or another number of problems, takes another one. So a table
says which params.yaml it is of, by its values, and counts for no other.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from lifeboat import project
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

NAME = "stage_seconds.json"
BEGUN = "stage_seconds_begun.json"
"""In `logs/`: seconds that a stage has had in runs in which it did not finish."""

PARAMS, STUDY = "params.yaml", "sha256 of params.yaml"
"""The file, and the key, beside the stages, under which a table has the hash of its values."""


def known(root: Path) -> dict[str, float]:
    """Seconds of every stage that is known to have finished in this study, here or in a snapshot.

    The newest snapshot of it that has them is read first, then this machine's own on top of it. A
    file that is no such table is passed over: it came from elsewhere, and nothing depends on it.
    """
    own = study(root)
    tables = (_read(path, own) for path in sorted((root / "runs").glob(f"*/{NAME}"), reverse=True))
    found = next(filter(None, tables), {})
    return dict(sorted((found | _read(root / "logs" / NAME, own)).items()))


def study(root: Path) -> str:
    """What tells the study: a hash of the values in params.yaml, empty where there is none."""
    try:
        values = project.read_yaml(root / PARAMS)
    except (UserError, OSError):
        return ""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, seconds: Mapping[str, float], of: str) -> None:
    """Writes a table of seconds by stage, and of which study they are."""
    artifacts.write_json(path, {STUDY: of, **seconds})


def add(root: Path, seconds: Mapping[str, float], cut: str | None = None) -> None:
    """Takes over the seconds of one run.

    A stage that was interrupted and goes on in a later run has the sum of both.

    Args:
        root: the project's folder.
        seconds: by stage that ran.
        cut: the one of them that did not finish.
    """
    if not seconds:
        return
    own = study(root)
    finished, begun = (_read(root / "logs" / name, own) for name in (NAME, BEGUN))
    for stage, value in seconds.items():
        total = round(begun.pop(stage, 0.0) + value, 1)
        (begun if stage == cut else finished)[stage] = total
    write(root / "logs" / BEGUN, begun, own)
    write(root / "logs" / NAME, finished, own)


def _read(path: Path, of: str) -> dict[str, float]:
    """A table; nothing where it is of another study than the one that is asked for, or of none."""
    try:
        value = artifacts.read_json(path)
    except (UserError, OSError):
        return {}
    pairs = value.items() if isinstance(value, dict) and value.get(STUDY) == of else []
    return {
        str(stage): float(seconds)
        for stage, seconds in pairs
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
    }
