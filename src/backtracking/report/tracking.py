"""Weights & Biases, if wanted: off without a key, never required, never the end of a stage.

`WANDB_MODE=offline` writes runs to disk without a key; `wandb sync` sends them later. Runs are
written below `WANDB_DIR`, else below `wandb/` of the project, both ignored by git.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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

    @property
    def is_recording(self) -> bool:
        """Whether what is told is recorded: tracking is on, has not failed, is not over."""
        return self._recorded is not None

    def log(self, values: Mapping[str, float]) -> None:
        """Records one step of a curve."""
        self._attempt(lambda recorded: recorded.log(dict(values)))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Records final numbers."""
        self._attempt(lambda recorded: recorded.summary.update(dict(values)))

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Records rows, with every column that any of them has."""
        columns: list[Any] = list(dict.fromkeys(key for row in rows for key in row))

        def send(recorded: Any) -> None:
            import wandb

            table = wandb.Table(columns, allow_mixed_types=True)
            for cells in rows:
                table.add_data(*(cells.get(key) for key in columns))
            recorded.log({name: table})

        self._attempt(send)

    def figure(self, name: str, path: Path) -> None:
        """Records a figure: PNG as an image, SVG as it is."""

        def send(recorded: Any) -> None:
            import wandb

            is_svg = path.suffix == ".svg"
            sent = wandb.Html(path.read_text("utf-8"), False) if is_svg else wandb.Image(str(path))
            recorded.log({name: sent})

        self._attempt(send)

    def artifact(self, name: str, kind: str, folder: Path, metadata: Mapping[str, Any]) -> None:
        """Records the files of a folder as an artifact; secrets in `metadata` are blotted out."""

        def send(recorded: Any) -> None:
            import wandb

            sent = wandb.Artifact(name, kind, metadata=redaction.redact_values(dict(metadata)))
            for path in sorted(folder.iterdir()):
                sent.add_file(str(path))
            recorded.log_artifact(sent)

        self._attempt(send)

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
def run(
    job_type: str,
    config: Mapping[str, Any],
    root: Path = PROJECT_ROOT,
    name: str | None = None,
    run_id: str | None = None,
) -> Iterator[Run]:
    """A run for one stage, closed at the end, as failed where the stage fails.

    Args:
        job_type: the stage's name.
        config: the stage's parameters; what looks like a secret is blotted out.
        root: the project, for the default of WANDB_DIR.
        name: of the run; W&B invents one otherwise.
        run_id: of the run, which goes on where W&B has it already; a new one otherwise.
    """
    started = Run(_start(job_type, config, root, name, run_id))
    exit_code = 1
    try:
        yield started
        exit_code = 0
    finally:
        started.finish(exit_code)


@contextmanager
def harmless() -> Iterator[None]:
    """What fails inside is a warning: a tracker never ends a stage."""
    try:
        yield
    except Exception as error:
        _warn(error)


def is_new(run_id: str, root: Path) -> bool:
    """Whether a run would be recorded now, and was not before, as far as this machine knows."""
    return mode() != "off" and next(folder(root).rglob(f"*run-*-{run_id}"), None) is None


def folder(root: Path) -> Path:
    """Where runs are written: WANDB_DIR, else `wandb/` of the project."""
    return Path(os.environ.get("WANDB_DIR") or root / "wandb")


def _start(
    job_type: str, config: Mapping[str, Any], root: Path, name: str | None, run_id: str | None
) -> Any:
    if mode() == "off":
        return None
    where = folder(root)
    try:
        import wandb

        where.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "mats-backtracking",
            entity=os.environ.get("WANDB_ENTITY") or None,
            dir=where,
            job_type=job_type,
            name=name,
            id=run_id,
            resume="allow" if run_id and mode() == "online" else None,
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
