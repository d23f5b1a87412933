"""Tables of arms: what each does at decisions and elsewhere, beside the baseline and nulls."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval, Verdict
from backtracking.records.measured import Where
from backtracking.records.rows.table import Row

Tested = Literal[Verdict, "no test"]
"""A verdict, where what is needed to tell may be lacking by design."""


@dataclass(frozen=True)
class ArmKey:
    """An arm of a model, as tables name it.

    Attributes:
        target: role of the model.
        direction: name of the arm.
        dose: in multiples of the reference norm, signed; 0 where nothing is added.
        where: positions that are changed.
    """

    target: str
    direction: str
    dose: float
    where: Where


@dataclass(frozen=True)
class Forced(Row):
    """P(an opener of backtracking) under an arm, teacher-forced, at one kind of decision.

    Attributes:
        arm: of a model.
        kind: of decisions; an action where no kind is known.
        level: the probability.
        effect: its paired difference to the baseline.
        n_decisions: how many there are.
    """

    FILE: ClassVar[str] = "effects/steer/forced"
    arm: ArmKey = field(metadata=INLINED)
    kind: str
    level: Interval = field(metadata=INLINED)
    effect: Interval
    n_decisions: int


@dataclass(frozen=True)
class Elsewhere(Row):
    """What an arm changes at positions that decide nothing.

    Attributes:
        arm: of a model.
        agreement: share of predictions that stay the most likely one.
        kl: of the next token, in nats.
        wait_sentence_end, wait_mid_sentence: P(marker) at these positions; `_value` with `_low` and
            `_high` is its paired difference to the baseline.
    """

    FILE: ClassVar[str] = "effects/steer/elsewhere"
    arm: ArmKey = field(metadata=INLINED)
    agreement: Interval
    kl: float | None
    wait_sentence_end: float | None
    wait_sentence_end_value: float | None
    wait_sentence_end_low: float | None
    wait_sentence_end_high: float | None
    wait_mid_sentence: float | None
    wait_mid_sentence_value: float | None
    wait_mid_sentence_low: float | None
    wait_mid_sentence_high: float | None


@dataclass(frozen=True)
class Compared(Row):
    """An arm at dose 1 or -1 against two nulls at its own dose; None where there is no null.

    Attributes:
        group: what the arm is one of.
        cosine: of its direction to the model's own; None for what has none.
        forced: as in `Forced`.
        random_bound, shuffled_bound: what 95 % of the null's effects stay below (above, where the
            dose is negative).
        random_p, shuffled_p: of an effect as large along the null.
        beyond_random, beyond_shuffled: whether the effect is off 0 and beyond the bound.
    """

    FILE: ClassVar[str] = "effects/steer/arms"
    group: str
    cosine: float | None
    forced: Forced = field(metadata=INLINED)
    random_bound: float | None
    random_p: float | None
    beyond_random: Verdict | None
    shuffled_bound: float | None
    shuffled_p: float | None
    beyond_shuffled: Verdict | None


@dataclass(frozen=True)
class Untested(Row):
    """An arm that cannot be run, and the reason."""

    FILE: ClassVar[str] = "effects/steer/untested"
    group: str
    target: str
    direction: str
    verdict: Tested
    reason: str


@dataclass(frozen=True)
class Sign(Row):
    """Share of problems whose own mean effect has the claimed sign.

    Attributes:
        arm: of a model.
        kind: of decisions.
        share: of problems.
    """

    FILE: ClassVar[str] = "effects/steer/signs"
    arm: ArmKey = field(metadata=INLINED)
    kind: str
    share: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class Free(Row):
    """A measure of whole generations under an arm.

    Attributes:
        arm: of a model.
        measure: its name.
        level: its mean.
        effect: paired difference to the baseline.
    """

    FILE: ClassVar[str] = "effects/steer/free"
    arm: ArmKey = field(metadata=INLINED)
    measure: str
    level: Interval = field(metadata=INLINED)
    effect: Interval


@dataclass(frozen=True)
class Projected(Row):
    """A direction at live decisions beside the same without the markers' rows, at dose 1.

    Attributes:
        target, direction: as in `ArmKey`.
        cosine: of the two.
        original, projected, difference: both effects, and the second minus the first.
        retained: the second as a share of the first; None where that one is not above 0.
        random95, n_random: bound and number of random directions.
        p_original, p_projected: of the effects.
    """

    FILE: ClassVar[str] = "effects/markerless/projected"
    target: str
    direction: str
    cosine: float
    original: Interval
    projected: Interval
    difference: Interval
    retained: Interval | None
    random95: float | None
    n_random: int
    p_original: float | None
    p_projected: float | None
