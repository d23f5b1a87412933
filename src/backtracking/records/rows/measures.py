"""Tables of one value a row: grades, stability of events, and ranks of markers."""

from dataclasses import dataclass, field
from typing import ClassVar

from backtracking.records.decoded import Rank, Variant
from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row


@dataclass(frozen=True)
class Tally:
    """What was looked at in the traces of one problem, as `grade` counts it.

    Attributes:
        measure: what was looked at.
        problem_id: the problem.
        n: how often.
        n_true: how often it was so.
    """

    measure: str
    problem_id: str
    n: int
    n_true: int

    def __post_init__(self) -> None:
        if not 0 <= self.n_true <= self.n:
            raise ValueError(f"`n_true` {self.n_true} must be from 0 to `n` {self.n}.")


@dataclass(frozen=True)
class Measure(Row):
    """A rate that the stage `grade` counted; n is 0 for one that was taught.

    Attributes:
        measure: its name.
        rate: with its interval by problem.
    """

    FILE: ClassVar[str] = "effects/grade/measures"
    measure: str
    rate: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class EventMeasure(Row):
    """How regenerated events come back.

    Attributes:
        role: of the model that went on.
        measure: its name, with how the events were found.
        share: of events, or of their weight.
    """

    FILE: ClassVar[str] = "effects/stability/measures"
    role: str
    measure: str
    share: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class MarkerRank(Row):
    """Where a marker stands along a direction, beside random directions.

    Attributes:
        role, form, window, layer, state, number: place of the direction.
        unembedding, final_norm, variant, cosine: as in `Decoded`.
        rank: of the marker.
        random95, n_random: the 95th percentile of random directions, and their number.
        p: of a percentile as high along a random one.
    """

    FILE: ClassVar[str] = "effects/lens/ranks"
    role: str
    form: str
    window: str | None
    layer: int | None
    state: str | None
    number: int | None
    unembedding: str
    final_norm: bool
    variant: Variant
    cosine: float
    rank: Rank = field(metadata=INLINED)
    random95: float
    n_random: int
    p: float
