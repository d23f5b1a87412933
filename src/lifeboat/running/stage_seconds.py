"""How long each stage took when it last finished: `logs/stage_seconds.json` and its snapshots."""

from collections.abc import Mapping
from pathlib import Path

from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

NAME = "stage_seconds.json"
BEGUN = "stage_seconds_begun.json"
"""In `logs/`: seconds that a stage has had in runs in which it did not finish."""


def known(root: Path) -> dict[str, float]:
    """Seconds of every stage that is known to have finished, here or in a snapshot.

    The newest snapshot that has them is read first, then this machine's own on top of it. A file
    that is no such table is passed over: it came from elsewhere, and nothing depends on it.
    """
    snapshots = sorted((root / "runs").glob(f"*/{NAME}"))
    found = _read(snapshots[-1]) if snapshots else {}
    return dict(sorted((found | _read(root / "logs" / NAME)).items()))


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
    finished, begun = _read(root / "logs" / NAME), _read(root / "logs" / BEGUN)
    for stage, value in seconds.items():
        total = round(begun.pop(stage, 0.0) + value, 1)
        (begun if stage == cut else finished)[stage] = total
    artifacts.write_json(root / "logs" / BEGUN, begun)
    artifacts.write_json(root / "logs" / NAME, finished)


def _read(path: Path) -> dict[str, float]:
    try:
        value = artifacts.read_json(path)
    except (UserError, OSError):
        return {}
    pairs = value.items() if isinstance(value, dict) else []
    return {
        str(stage): float(seconds)
        for stage, seconds in pairs
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
    }
