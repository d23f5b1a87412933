"""Tables of where steering is done: what was chosen on dev, its units, and the usable doses."""

from dataclasses import dataclass, field
from typing import ClassVar

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.measured import Where
from backtracking.records.rows.table import Row


@dataclass(frozen=True)
class Candidate:
    """A place that could be chosen; fields as in `records.choices.Scored`, the window as text."""

    layer: int
    window: str
    norm: float
    effect: float
    effect_own: float
    excess: float
    legal: float | None


@dataclass(frozen=True)
class Selection(Row):
    """What was chosen on dev problems, and from what.

    Attributes:
        layer, window: of the directions, and where they are added.
        offset: the last of the window, from the deciding token.
        norm: of dose 1.
        chosen_on: the split.
        grid: all places.
    """

    FILE: ClassVar[str] = "effects/steer/selection"
    layer: int
    window: str
    offset: int
    norm: float
    chosen_on: str
    grid: tuple[Candidate, ...]


@dataclass(frozen=True)
class Repeat(Row):
    """The same of one of several pairs, by its number, from 1."""

    FILE: ClassVar[str] = "effects/pairs/selection"
    number: int
    selection: Selection = field(metadata=INLINED)


@dataclass(frozen=True)
class Magnitude(Row):
    """Dose 1 in one model.

    Attributes:
        role: of the model.
        norm: of what is added, which is that of the model's own direction.
        mean_residual_norms: in mean norms of its residual stream.
    """

    FILE: ClassVar[str] = "effects/steer/magnitudes"
    role: str
    norm: float
    mean_residual_norms: float


@dataclass(frozen=True)
class UsableDose:
    """Whether an arm breaks nothing on dev problems, neither elsewhere nor where it is added.

    Attributes:
        direction, dose, where: of the arm.
        agreement: share of other predictions that stay.
        legal: mean P(a word that may stand there) at decisions; None if not measured.
        usable: whether both are large enough.
    """

    direction: str
    dose: float
    where: Where
    agreement: Interval
    legal: float | None
    usable: bool


@dataclass(frozen=True)
class UsableWindow:
    """The lowest and the highest dose up to which every dose is usable; 0 where there is none."""

    direction: str
    low: float
    high: float


@dataclass(frozen=True)
class Usable(Row):
    """The usable doses.

    Attributes:
        min_agreement: with which a dose is usable.
        doses: by arm.
        windows: by direction, at decisions.
    """

    FILE: ClassVar[str] = "effects/steer/usable"
    min_agreement: float
    doses: tuple[UsableDose, ...]
    windows: tuple[UsableWindow, ...]
