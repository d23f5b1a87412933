"""Weights & Biases, if wanted: off without a key, never required, never the end of a stage.

`WANDB_MODE=offline` writes runs to disk without a key; `wandb sync` sends them later. Runs are
written below `WANDB_DIR`, else below `wandb/` of the project, both ignored by git.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from backtracking import PROJECT_ROOT
from lifeboat.stage import redaction

Mode = Literal["off", "offline", "online"]


def mode() -> Mode:
    """What a run started now would do, from WANDB_MODE and WANDB_API_KEY alone."""
    wanted = os.environ.get("WANDB_MODE", "").lower()
    if wanted in ("offline", "dryrun"):
        return "offline"
    if wanted in ("disabled", "off") or not os.environ.get("WANDB_API_KEY"):
        return "off"
    return "online"


class Run:
    """A run that may be recorded; its methods do nothing where tracking is off or has failed."""

    def __init__(self, recorded: Any = None) -> None:
        self._recorded = recorded

    def log(self, values: Mapping[str, float]) -> None:
        """Records one step of a curve."""
        self._attempt(lambda recorded: recorded.log(dict(values)))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Records final numbers."""
        self._attempt(lambda recorded: recorded.summary.update(dict(values)))

    def finish(self, exit_code: int = 0) -> None:
        """Closes the run; `exit_code` other than 0 marks it as failed."""
        self._attempt(lambda recorded: recorded.finish(exit_code=exit_code))
        self._recorded = None

    def _attempt(self, action: Callable[[Any], object]) -> None:
        if self._recorded is None:
            return
        try:
            action(self._recorded)
        except Exception as error:  # a tracker never ends a stage
            self._recorded = None
            _warn(error)


@contextmanager
def run(job_type: str, config: Mapping[str, Any], root: Path = PROJECT_ROOT) -> Iterator[Run]:
    """A run for one stage, closed at the end, as failed where the stage fails.

    Args:
        job_type: the stage's name.
        config: the stage's parameters; what looks like a secret is blotted out.
        root: the project, for the default of WANDB_DIR.
    """
    started = Run(_start(job_type, config, root))
    exit_code = 1
    try:
        yield started
        exit_code = 0
    finally:
        started.finish(exit_code)


def _start(job_type: str, config: Mapping[str, Any], root: Path) -> Any:
    if mode() == "off":
        return None
    folder = Path(os.environ.get("WANDB_DIR") or root / "wandb")
    try:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "mats-backtracking",
            entity=os.environ.get("WANDB_ENTITY") or None,
            dir=folder,
            job_type=job_type,
            config=redaction.redact_values(dict(config)),
            mode="offline" if mode() == "offline" else "online",
            settings=_settings(),
        )
    except Exception as error:  # a tracker never ends a stage
        _warn(error)
        return None


def _settings() -> Any:
    """No diff, no code, no console output leave the machine: none of them has been redacted."""
    import wandb

    return wandb.Settings(
        silent=True, init_timeout=60, console="off", disable_git=True, disable_code=True
    )


def _warn(error: Exception) -> None:
    said = redaction.redact(f"{type(error).__name__}: {error}")
    warnings.warn(f"W&B failed and this run is not tracked further: {said}", stacklevel=3)
