"""Tables of what was drawn after decisions: P(backtracking), and what P(an opener) tells of it."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.openers import OpenerCount
from backtracking.records.rows.arms import ArmKey
from backtracking.records.rows.table import Row


@dataclass(frozen=True)
class Frozen(Row):
    """The openers that count, which were frozen on dev, and what they cover.

    Attributes:
        role, labeller, n_decisions, n, n_turned, counts, kept, coverage: as in `Openers`.
        coverage_test: the same share on test problems, without an edit.
        is_usable: whether P(an opener) is used at all, by the coverage on dev.
    """

    FILE: ClassVar[str] = "effects/steer/openers"
    role: str
    labeller: str
    n_decisions: int
    n: int
    n_turned: int
    counts: tuple[OpenerCount, ...]
    kept: tuple[str, ...]
    coverage: float | None
    coverage_test: Interval
    is_usable: bool


@dataclass(frozen=True)
class DrawnShare(Row):
    """P(backtracking) under an arm at decisions of a kind: the share of drawn sentences that are.

    Attributes:
        run: that the arm is one of.
        arm: of a model.
        kind: of decisions.
        level: the share.
        effect: its paired difference to the baseline.
        n_decisions, n_draws: decisions, and draws at all of them.
        coverage: share of the sentences that backtrack which an opener that counts begins.
        legal: as in `Forced`.
        test: `no test` where the arm breaks the model there.
    """

    FILE: ClassVar[str] = "effects/steer/drawn"
    run: str
    arm: ArmKey = field(metadata=INLINED)
    kind: str
    level: Interval = field(metadata=INLINED)
    effect: Interval
    n_decisions: int
    n_draws: int
    coverage: Interval
    legal: float | None
    test: Literal["", "no test"]


@dataclass(frozen=True)
class Calibration(Row):
    """What P(an opener) tells of P(backtracking) over decisions, under one arm.

    A steered arm in which the slope is half of what it is without steering has learnt to say the
    word.

    Attributes:
        run: that the arm is one of.
        arm: of a model.
        n_decisions: at which it was drawn.
        slope: of the share of draws that backtrack on P(an opener), by least squares.
        r2: of that line.
        r2_ceiling: what R2 would be at most, since a few draws give a share with noise; None where
            the share does not vary by more.
        slope_of_baseline: slope over that of the baseline at the same decisions, paired.
    """

    FILE: ClassVar[str] = "effects/steer/calibration"
    run: str
    arm: ArmKey = field(metadata=INLINED)
    n_decisions: int
    slope: Interval
    r2: Interval
    r2_ceiling: float | None
    slope_of_baseline: Interval
