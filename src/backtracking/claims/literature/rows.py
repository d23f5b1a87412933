"""A claim as a question that is asked of every pair, and the row of claims.json that answers it."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Interval
from backtracking.records.rows.claims import (
    Agreement,
    Beside,
    Claim,
    Finding,
    Published,
    Question,
)


def untestable(why: str) -> Finding:
    """A finding without a number, and the reason."""
    return Finding("untestable", why=why)


def in_words(value: Interval) -> str:
    """A value with its interval, as a sentence has it."""
    own = "nothing known" if value.value is None else f"{value.value:.3f}"
    if value.low is None or value.high is None:
        return own
    return f"{own} ({value.low:.3f} to {value.high:.3f})"


Find = Callable[[Study, str], Finding]
"""The finding of the pair of a role's model."""


def answer(study: Study, question: Question, find: Find) -> Claim:
    """The question's row: what the pair under study says, and beside it every control pair.

    A finding names the direction and the model that it is of; one that names no model is of the
    role's own activations or text, and nothing was added.
    """
    role = study.studied
    asked = replace(
        question,
        statement=study.words(question.statement),
        contrast=study.words(question.contrast),
        threshold=study.words(question.threshold),
    )
    by_control = {control: _of(control, find(study, control)) for control in study.controls}
    return complete(asked, _of(role, find(study, role)), by_control)


def _of(role: str, finding: Finding) -> Finding:
    return finding if finding.target else replace(finding, target=role)


def complete(
    question: Question,
    finding: Finding,
    by_control: Mapping[str, Finding],
    *,
    must_fail: bool = False,
    must_hold: bool = False,
) -> Claim:
    """The row of a claim of which everything is found."""
    return Claim(
        question,
        replace(finding, why=finding.why or missing(finding)),
        agreement(question.published, finding),
        must_fail,
        must_hold,
        {
            control: Beside(
                one.direction, one.target, one.estimate, one.low, one.high, one.verdict, one.why
            )
            for control, one in by_control.items()
        },
    )


def missing(finding: Finding) -> str:
    """What a claim that is untestable lacks, told from its parts."""
    if finding.verdict != "untestable":
        return ""
    parts = [name for name, verdict in finding.parts.items() if verdict == "untestable"]
    return f"not measured: {', '.join(parts) or 'the effect'}"


def agreement(published: Published, finding: Finding) -> Agreement:
    """Whether the intervals overlap; a published value without one counts as a point."""
    if not published.comparable or published.value is None:
        return "not comparable"
    if finding.low is None or finding.high is None:
        return "not comparable"
    low = published.value if published.low is None else published.low
    high = published.value if published.high is None else published.high
    return "agrees" if finding.low <= high and low <= finding.high else "differs"
