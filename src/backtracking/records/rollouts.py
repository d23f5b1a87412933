"""What changed models wrote by themselves: traces, each with the arm that wrote it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader
from backtracking.records.measured import Arm
from backtracking.records.traces import Trace

_CURE = "Run the stage that wrote it again."


@dataclass(frozen=True)
class Rollout:
    """One trace of a changed model.

    Attributes:
        target: role of the model.
        arms: what was changed, all at once; several where components are taken away together.
        trace: what it wrote.
        nll: -log p of each written token under the model without any change, in nats; None where
            it was not asked.
    """

    target: str
    arms: tuple[Arm, ...]
    trace: Trace
    nll: tuple[float, ...] | None = None


def write_rollouts(path: Path, rollouts: Iterable[Rollout]) -> None:
    """Writes rollouts as JSON Lines."""
    reader.write_lines(path, rollouts)


def read_rollouts(path: Path) -> list[Rollout]:
    """All rollouts of a file.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(Rollout, path, _CURE)
