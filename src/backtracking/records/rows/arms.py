"""Tables of arms: what each does at decisions and elsewhere, beside the baseline and nulls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Bar, Interval, Verdict
from backtracking.records.measured import Edit, Where
from backtracking.records.rows.table import Row

Endpoint = Literal["P_back", "P_open"]
"""What is read at decisions: P(the next sentence really takes back), or P(a word that may open
such a sentence), where that alone was measured."""


@dataclass(frozen=True)
class ArmKey:
    """An arm of a model, as tables name it.

    Attributes:
        target: role of the model.
        direction: name of the arm.
        dose: in multiples of the reference norm, signed; 0 where nothing is added.
        where: positions that are changed.
        edit: how; `set_projection` sets what lies along the direction to a class's mean, the
            positive class's where the dose is above 0, and needs no unit.
        group: what it is one of, as in `Arm`; two keys are equal whatever it is.
    """

    target: str
    direction: str
    dose: float
    where: Where
    edit: Edit = "add"
    group: str = field(default="", compare=False)


@dataclass(frozen=True)
class Forced(Row):
    """P(backtrack) under an arm, teacher-forced, at one kind of decision.

    Attributes:
        arm: of a model.
        kind: of decisions; an action where no kind is known.
        endpoint: what is read.
        level: the probability.
        effect: its paired difference to the baseline.
        n_decisions: how many there are.
        legal: mean P(a word that may stand there) at these decisions; None if not measured.
        test: `no test` where the arm breaks the model there.
    """

    FILE: ClassVar[str] = "effects/steer/forced"
    arm: ArmKey = field(metadata=INLINED)
    kind: str
    endpoint: Endpoint
    level: Interval = field(metadata=INLINED)
    effect: Interval
    n_decisions: int
    legal: float | None = None
    test: Literal["", "no test"] = ""


@dataclass(frozen=True)
class Untrained(Forced):
    """The base's direction by the primary edit, and each control without training, moved as far."""

    FILE: ClassVar[str] = "effects/steer/controls"


@dataclass(frozen=True)
class Ceiling(Row):
    """An arm at decisions that have a donor, beside the donor's own state put in there.

    Attributes:
        forced: of the arm; the donor's state is one of the arms. At the positive class of decisions
            it is the donors that are read, and what they are donors of is put in.
        of_ceiling: its effect as a share of that of the donor's state.
    """

    FILE: ClassVar[str] = "effects/steer/ceiling"
    forced: Forced = field(metadata=INLINED)
    of_ceiling: Interval


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
    """An arm at dose 1 or -1 beside nulls at its own dose.

    Attributes:
        cosine: of its direction to the model's own; None for what has none.
        forced: as in `Forced`.
        by_null: every null that there is, that of shuffled labels among them, which tells what is
            usual and is not to be beaten.
        verdict: whether the effect is off 0 and beyond the nulls that are to be beaten; None
            where there is none.
    """

    FILE: ClassVar[str] = "effects/steer/arms"
    cosine: float | None
    forced: Forced = field(metadata=INLINED)
    by_null: Mapping[str, Bar]
    verdict: Verdict | None


@dataclass(frozen=True)
class Untested(Row):
    """An arm that cannot be run, and the reason."""

    FILE: ClassVar[str] = "effects/steer/untested"
    group: str
    target: str
    direction: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Sign(Row):
    """How one and the same arm moves single problems and single decisions.

    Attributes:
        arm: of a model.
        kind: of decisions.
        share: of problems whose own mean effect has the claimed sign.
        wrong: share of decisions whose effect has the other sign.
        effect_p5, effect_p25, effect_p50, effect_p75, effect_p95: percentiles of the effect over
            decisions.
    """

    FILE: ClassVar[str] = "effects/steer/signs"
    arm: ArmKey = field(metadata=INLINED)
    kind: str
    share: Interval = field(metadata=INLINED)
    wrong: Interval
    effect_p5: float
    effect_p25: float
    effect_p50: float
    effect_p75: float
    effect_p95: float


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
class Parting(Row):
    """Where a steered generation parts from the unsteered one of the same problem.

    Attributes:
        arm: of a model.
        problem_id, prompt: the problem.
        before: the last sentence of both; empty where the first one differs.
        unsteered, steered: what either says next; empty where it ends there.
    """

    FILE: ClassVar[str] = "effects/steer/partings"
    arm: ArmKey = field(metadata=INLINED)
    problem_id: str
    prompt: str
    before: str
    unsteered: str
    steered: str


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
