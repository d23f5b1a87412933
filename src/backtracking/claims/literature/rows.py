"""A claim as a question that is asked of every pair, and the row of claims.json that answers it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Verdict
from backtracking.statistics.effect import all_of

Agreement = Literal["agrees", "differs", "not comparable"]

Row = Mapping[str, Any]


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
        kind: `built_in` where the organism's design makes it true, so that it replicates nothing,
            else `emergent`.
        published: what the study found.
    """

    claim: str
    study: str
    statement: str
    contrast: str
    threshold: str
    kind: Literal["built_in", "emergent"]
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
    parts: Mapping[str, Verdict] = field(default_factory=dict)
    why: str = ""

    @classmethod
    def of(cls, parts: Mapping[str, Verdict], **numbers: Any) -> "Finding":
        """A finding that holds where all of its parts do."""
        return cls(all_of(list(parts.values())), parts=dict(parts), **numbers)


def untestable(why: str) -> Finding:
    """A finding without a number, and the reason."""
    return Finding("untestable", why=why)


def answer(
    study: Study, question: Question, find: Callable[[Study, str], Finding]
) -> dict[str, Any]:
    """The question's row: what the pair under study says, and beside it every control pair.

    Args:
        study: what was found.
        question: the claim.
        find: the finding of the pair of a role's model.
    """
    role, own = study.studied, find(study, study.studied)
    row = asdict(question) | asdict(own) | {"pair": f"{study.base} -> {role}"}
    row |= {name: study.words(row[name]) for name in ("statement", "contrast", "threshold")}
    row["agreement"] = agreement(question.published, own)
    row["why"] = own.why or missing(own)
    row["must_fail"] = False
    row["by_control"] = {control: short(find(study, control)) for control in study.controls}
    return row


def missing(finding: Finding) -> str:
    """What a claim that is untestable lacks, told from its parts."""
    if finding.verdict != "untestable":
        return ""
    parts = [name for name, verdict in finding.parts.items() if verdict == "untestable"]
    return f"not measured: {', '.join(parts) or 'the effect'}"


def short(finding: Finding) -> dict[str, Any]:
    """A finding as it stands beside another pair's."""
    kept = ("estimate", "low", "high", "verdict", "why")
    return {key: getattr(finding, key) for key in kept}


def agreement(published: Published, finding: Finding) -> Agreement:
    """Whether the intervals overlap; a published value without one counts as a point."""
    if not published.comparable or published.value is None:
        return "not comparable"
    if finding.low is None or finding.high is None:
        return "not comparable"
    low = published.value if published.low is None else published.low
    high = published.value if published.high is None else published.high
    return "agrees" if finding.low <= high and low <= finding.high else "differs"


def find_row(rows: Sequence[Row], **match: Any) -> Row | None:
    """The first row with these values, or None."""
    for row in rows:
        if all(row.get(key) == value for key, value in match.items()):
            return row
    return None


def above(low: float | None, bound: float | None) -> Verdict:
    """Whether an interval's lower end is above a bound; untestable where either is missing."""
    if low is None or bound is None:
        return "untestable"
    return "holds" if low > bound else "fails"
