"""The table of what turns name."""

from dataclasses import dataclass, field
from typing import ClassVar

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.rows.arms import ArmKey
from backtracking.records.rows.table import Row


@dataclass(frozen=True)
class Remarks(Row):
    """What the sentences that backtrack name under one arm, by their words (`labels.remarks`).

    Attributes:
        run: `free` for whole generations, else the run whose decisions were drawn at.
        arm: of a model; random directions stand beside the study's own.
        n: sentences that backtrack.
        state, steering, neither: shares of them.
    """

    FILE: ClassVar[str] = "effects/steer/remarks"
    run: str
    arm: ArmKey = field(metadata=INLINED)
    n: int
    state: Interval
    steering: Interval
    neither: Interval
