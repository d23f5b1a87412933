"""Claims: what is asked, what one pair says to it, and the row of claims.json that answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval, Verdict, all_of
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
        null: what it has to beat.
        p: of that null.
        parts: verdicts of its conditions, by name.
        why: reason, where it is untestable.
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
        pair: `<role of the direction> -> <role of the model>`, or what was ablated.
        contrast, threshold, kind: as in `Question`.
        finding: what was found.
        must_fail: whether the claim is false of the pair by construction.
    """

    FILE: ClassVar[str] = "effects/steer/evidence"
    claim: str
    pair: str
    contrast: str
    threshold: str
    kind: Kind
    finding: Finding = field(metadata=INLINED)
    must_fail: bool = False


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
        n_pairs, n_holds, n_fails, n_untestable: pairs by verdict.
        share_low, share_high: bounds of the share of pairs in which it holds.
        estimate, low, high: mean effect; without an interval for a single pair.
    """

    FILE: ClassVar[str] = "effects/pairs/counts"
    claim: str
    n_pairs: int
    n_holds: int
    n_fails: int
    n_untestable: int
    share_low: float
    share_high: float
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Beside:
    """A finding as it stands beside another pair's; fields as in `Finding`."""

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
        pair: as in `Evidence`.
        finding: what the pair says; `why` tells what is lacking.
        agreement: whether our interval and the published one overlap.
        must_fail: as in `Evidence`.
        by_control: what each control pair says, by the role of its model.
    """

    FILE: ClassVar[str] = "claims"
    question: Question = field(metadata=INLINED)
    pair: str
    finding: Finding = field(metadata=INLINED)
    agreement: Agreement
    must_fail: bool
    by_control: Mapping[str, Beside]
