"""What models wrote after decisions, drawn again and again under every arm: counts, and texts.

Counts are a file of arrays as any other measurement (`measured`), in a folder of their own, and the
texts of some arms stand beside it, one decision and arm a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backtracking.records import reader
from backtracking.records.measured import Array, Measured, read_measured, write_measured

N_DRAWS, N_TURNED, N_OPENED, N_OPENED_TURNED = "n_draws", "n_turned", "n_opened", "n_opened_turned"
"""Arrays at decisions: draws; of them, those whose first sentence backtracks; those that begin with
an opener that counts; those that do both."""

FOLDER = "drawn"
"""Of the stage's results."""

_CURE = "Steer again: `dvc --wait-for-lock repro steer`."


@dataclass(frozen=True)
class Said:
    """The first sentences that were drawn at one decision under one arm.

    Attributes:
        arm: number of the arm in the file of counts.
        decision_id: the decision.
        texts: of the sentences, in the order of the draws.
        turned: which of them backtrack.
    """

    arm: int
    decision_id: str
    texts: tuple[str, ...]
    turned: tuple[bool, ...]


@dataclass(frozen=True)
class Drawn:
    """One run of one model.

    Attributes:
        counts: by arm and decision; NaN where an arm was not drawn.
        said: of the arms whose texts are kept.
    """

    counts: Measured
    said: tuple[Said, ...]


def joined(parts: Sequence[Drawn]) -> Drawn:
    """The same arms at several decisions, one after another."""
    first = parts[0].counts
    arrays = {
        name: Array(
            "decisions", np.concatenate([one.counts.arrays[name].values for one in parts], axis=1)
        )
        for name in first.arrays
    }
    decisions = tuple(name for one in parts for name in one.counts.decisions)
    said = sorted((one for part in parts for one in part.said), key=lambda one: one.arm)
    return Drawn(replace(first, arrays=arrays, decisions=decisions), tuple(said))


def write_drawn(folder: Path, drawn: Sequence[Drawn]) -> None:
    """Writes two files a run and model."""
    for one in drawn:
        name = f"{one.counts.run}.{one.counts.target}"
        write_measured(folder / f"{name}.safetensors", one.counts)
        reader.write_lines(folder / f"{name}.jsonl", one.said)


def read_drawn(folder: Path) -> list[Drawn]:
    """All runs of a folder, in the order of their names; none where there is no folder.

    Raises:
        UserError: where a file is missing, broken or another one.
    """
    return [
        Drawn(
            read_measured(path), tuple(reader.read_lines(Said, path.with_suffix(".jsonl"), _CURE))
        )
        for path in sorted(folder.glob("*.safetensors"))
    ]
