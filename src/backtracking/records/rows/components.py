"""Tables of the stage `ablate`: components taken away, teacher-forced and in whole generations."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.measured import Where
from backtracking.records.rows.claims import Evidence
from backtracking.records.rows.table import Row

SpecificVerdict = Literal["specific", "unspecific", "no effect", "untestable"]


@dataclass(frozen=True)
class RankedComponent:
    """A component of a ranking.

    Attributes:
        component: its name.
        fall: how far its mean-ablation at decisions lowers P(backtrack | dead end).
        fall_other: the same where it is taken away at the matched other positions.
    """

    component: str
    fall: float
    fall_other: float


@dataclass(frozen=True)
class Ranking:
    """Components of a model by how far P(an opener) falls without them, the farthest first.

    Attributes:
        chosen_on: the split.
        ranking: of all components.
    """

    chosen_on: str
    ranking: tuple[RankedComponent, ...]


@dataclass(frozen=True)
class Ablated:
    """A component that was taken away.

    Attributes:
        target: role of the model.
        component: its name.
        value_written: what it is replaced by.
        place: positions at which it is.
    """

    target: str
    component: str
    value_written: Literal["mean", "zero"] | None
    place: Where


@dataclass(frozen=True)
class AblatedForced(Row):
    """P(an opener) without a component at one kind of decision.

    Attributes:
        ablated: the component.
        kind: of decisions.
        baseline: P of the whole model.
        change: of P.
        p: of the change, corrected over components with the same value, place and kind.
        n_decisions: how many there are.
        kl: of the next token where it was taken away, in nats.
    """

    FILE: ClassVar[str] = "effects/ablate/forced"
    ablated: Ablated = field(metadata=INLINED)
    kind: str
    baseline: float
    change: Interval = field(metadata=INLINED)
    p: float
    n_decisions: int
    kl: Interval


@dataclass(frozen=True)
class AblatedElsewhere(Row):
    """KL in nats at generated positions that are neither decisions nor matched with one."""

    FILE: ClassVar[str] = "effects/ablate/elsewhere"
    ablated: Ablated = field(metadata=INLINED)
    kl: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class AblatedFree(Row):
    """A measure of whole generations without components.

    Attributes:
        target: role of the model.
        arm: name of the run.
        components: what was taken away.
        measure: its name.
        level: its mean.
    """

    FILE: ClassVar[str] = "effects/ablate/free"
    target: str
    arm: str
    components: tuple[str, ...]
    measure: str
    level: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class Outcome:
    """One measure of whole generations without some components.

    Attributes:
        baseline: of the whole model.
        level: without the components.
        change: the one minus the other, paired by problem.
        excess: change minus the mean change of the random sets, paired by problem.
        random: change of each random set.
        excess_by_set: change minus that of each random set.
    """

    baseline: Interval
    level: Interval
    change: Interval
    excess: Interval
    random: tuple[Interval, ...]
    excess_by_set: tuple[Interval, ...]


@dataclass(frozen=True)
class TopOutcome(Row):
    """The outcome of the first `k` components of a model's ranking, by measure."""

    FILE: ClassVar[str] = "effects/ablate/outcomes"
    target: str
    k: int
    measure: str
    outcome: Outcome = field(metadata=INLINED)


@dataclass(frozen=True)
class Specific(Row):
    """The claim that components write backtracking and little else.

    Attributes:
        components: what was taken away.
        evidence: for it.
        outcome: what it comes to in words.
    """

    FILE: ClassVar[str] = "effects/ablate/evidence"
    components: tuple[str, ...]
    evidence: Evidence = field(metadata=INLINED)
    outcome: SpecificVerdict

    @property
    def target(self) -> str:
        """Role of the model."""
        return self.evidence.finding.target
