"""Claims: what is asked, what one pair says to it, and the row of claims.json that answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from backtracking.records.decoding import INLINED, may_be_absent
from backtracking.records.intervals import Bar, Interval, Verdict, all_of
from backtracking.records.rows.table import Row

Agreement = Literal["agrees", "differs", "not comparable"]
Kind = Literal["built_in", "emergent"]
"""`built_in` where the organism's design makes a claim true, so that it replicates nothing."""


@dataclass(frozen=True)
class Published:
    """What a study printed.

    Attributes:
        value: the number, in the unit of our estimate; None where the claim has no number.
        source: the study, and what to know about the number (a replication, second-hand).
        low, high: its interval, where it has one.
        comparable: whether our estimate is of the same quantity, so that the two may agree at all.
    """

    value: float | None
    source: str
    low: float | None = None
    high: float | None = None
    comparable: bool = True


@dataclass(frozen=True)
class Question:
    """A claim, before anything is measured.

    Attributes:
        claim: short stable name.
        study: who claims it.
        statement: the claim in one sentence.
        contrast: what is estimated.
        threshold: what has to be true for it to hold.
        kind: whether the design makes it true.
        published: what the study found.
    """

    claim: str
    study: str
    statement: str
    contrast: str
    threshold: str
    kind: Kind
    published: Published


@dataclass(frozen=True)
class Finding:
    """What one pair says to a question; None where a number does not exist.

    Attributes:
        verdict: whether the claim holds of this pair.
        estimate, low, high, n: the value with its interval and the number of problems.
        null: what it has to beat; of several nulls the hardest bound.
        p: of that null; of several conditions and nulls the largest.
        parts: verdicts of its conditions, by name.
        why: reason, where it is untestable or no test.
        direction: what the arm that was measured is along; empty where nothing was added.
        target: the model in which it was measured.
        nulls: every null that the estimate has to beat, by name.
        legal: mean P(a word that may stand there) at the steered positions, the least of all arms
            that are judged; None where it was not measured.
        of_ceiling: the estimate as a share of what the donor's state brings about.
        log_odds: the same effect as a change of log-odds, in nats.
        resampled: by the interval: of test problems alone, it is conditional on the direction.
        p_adjusted: p after Holm, of a claim of the confirmatory family.
    """

    verdict: Verdict
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    null: float | None = None
    p: float | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    direction: str = ""
    target: str = ""
    nulls: Mapping[str, Bar] = field(default_factory=dict)
    legal: float | None = None
    of_ceiling: Interval | None = None
    log_odds: Interval | None = may_be_absent()
    resampled: str = ""
    p_adjusted: float | None = None

    @property
    def pair(self) -> str:
        """What was added to what, as it is printed; the model alone where nothing was added."""
        return f"{self.direction} -> {self.target}" if self.direction else self.target

    @classmethod
    def of(cls, parts: Mapping[str, Verdict], **numbers: Any) -> "Finding":
        """A finding that holds where all of its parts do."""
        return cls(all_of(list(parts.values())), parts=dict(parts), **numbers)

    @classmethod
    def beside(
        cls, verdict: Verdict, value: Interval, null: float | None = None, **more: Any
    ) -> "Finding":
        """A finding from a value with its interval, beside its null."""
        return cls(verdict, value.value, value.low, value.high, value.n, null, **more)


@dataclass(frozen=True)
class Evidence(Row):
    """What was found for a claim in one pair.

    Attributes:
        claim: its short name.
        contrast, threshold, kind: as in `Question`.
        finding: what was found, by which direction in which model.
        must_fail, must_hold: whether the claim is false, or true, of the pair by construction.
    """

    FILE: ClassVar[str] = "effects/steer/evidence"
    claim: str
    contrast: str
    threshold: str
    kind: Kind
    finding: Finding = field(metadata=INLINED)
    must_fail: bool = False
    must_hold: bool = False


@dataclass(frozen=True)
class Markerless(Evidence):
    """The claim that a direction steers without the markers' rows."""

    FILE: ClassVar[str] = "effects/markerless/evidence"


@dataclass(frozen=True)
class Repeated(Row):
    """The same in one of several pairs that differ in the seed of the training.

    Attributes:
        number: of the pair, from 1.
        evidence: what was found there.
    """

    FILE: ClassVar[str] = "effects/pairs/claims"
    number: int
    evidence: Evidence = field(metadata=INLINED)


@dataclass(frozen=True)
class Count(Row):
    """A claim over pairs, which are taken as drawn from all that could be trained.

    Attributes:
        claim: its short name.
        n_pairs, n_holds, n_fails, n_no_test, n_untestable: pairs by verdict.
        share_low, share_high: bounds of the share of pairs in which it holds.
        estimate, low, high: mean effect; without an interval for a single pair.
    """

    FILE: ClassVar[str] = "effects/pairs/counts"
    claim: str
    n_pairs: int
    n_holds: int
    n_fails: int
    n_no_test: int
    n_untestable: int
    share_low: float
    share_high: float
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Beside:
    """A finding as it stands beside another pair's; fields as in `Finding`."""

    direction: str
    target: str
    estimate: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Claim(Row):
    """A row of claims.json: what the pair under study says, and beside it every control pair.

    Attributes:
        question: what is asked.
        finding: what the pair says; `why` tells what is lacking.
        agreement: whether our interval and the published one overlap.
        must_fail, must_hold: as in `Evidence`.
        by_control: what each control pair says to the very same, by the role of its model.
        confirmatory: whether the claim is one of those that were named in advance, and are
            corrected together; all others are exploratory.
    """

    FILE: ClassVar[str] = "claims"
    question: Question = field(metadata=INLINED)
    finding: Finding = field(metadata=INLINED)
    agreement: Agreement
    must_fail: bool
    must_hold: bool
    by_control: Mapping[str, Beside]
    confirmatory: bool = False
