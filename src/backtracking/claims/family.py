"""What is judged together: the confirmatory family, its premise, and the positive control.

Three claims were named in advance and share one level, by Holm's procedure. All others are
exploratory. What must hold by construction tells whether the instrument sees anything at all: where
it fails, no other claim about steering is tested.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backtracking.records.intervals import Verdict
from backtracking.records.rows.claims import Claim, Finding
from backtracking.statistics.multiplicity import holm

CONFIRMATORY = ("primary", "causal", "belief")
"""The claims that were named in advance, of the pair under study."""

OF_BASE = ("primary", "transfer", "base_belief", "ward_transfers")
"""Claims about the base's direction, which its premise has to come before."""

OF_STEERING = (
    *CONFIRMATORY, "transfer", "base_belief", "steers_without_words", "ward_transfers",
    "venhoff_steers", "venhoff_stops",
)  # fmt: skip
"""Claims that a failing positive control takes the meaning from."""

LEVEL = 0.05


def judge_together(claims: Sequence[Claim], studied: str) -> list[Claim]:
    """The same claims after the premise, Holm and the positive control.

    Args:
        claims: of all pairs.
        studied: role of the model under study.
    """
    return after_control(after_holm(after_premise(claims, studied), studied))


def after_premise(claims: Sequence[Claim], studied: str) -> list[Claim]:
    """What is measured of the base's direction is no test where it cannot tell the classes."""
    found = next((one.finding for one in claims if one.question.claim == "premise"), None)
    if found is None or found.verdict == "holds":
        return list(claims)
    fails = found.verdict == "fails"
    verdict: Verdict = "no test" if fails else found.verdict
    return [
        replace(one, finding=_with_part(one.finding, "premise", verdict, over=fails))
        if one.question.claim in OF_BASE and one.finding.target == studied
        else one
        for one in claims
    ]


def after_holm(claims: Sequence[Claim], studied: str) -> list[Claim]:
    """The confirmatory claims with p adjusted for all of them; one without a p counts as 1."""
    family = [row for row, one in enumerate(claims) if is_confirmatory(one, studied)]
    p = [claims[row].finding.p for row in family]
    adjusted = holm(np.array([1.0 if one is None else one for one in p]))
    found = list(claims)
    for row, p_adjusted in zip(family, adjusted.tolist(), strict=True):
        one = found[row].finding
        told = None if one.p is None else float(p_adjusted)
        finding = replace(one, p_adjusted=told)
        if told is not None and told > LEVEL and one.verdict == "holds":
            finding = _with_part(finding, "p_after_holm", _reachable(one, len(family)))
        found[row] = replace(found[row], finding=finding, confirmatory=True)
    return found


def after_control(claims: Sequence[Claim]) -> list[Claim]:
    """No claim about steering is tested where one that must hold does not."""
    failing = failing_controls(claims)
    if not failing:
        return list(claims)
    return [
        replace(one, finding=_with_part(one.finding, "positive_control", "no test", over=True))
        if one.question.claim in OF_STEERING and not one.must_hold
        else one
        for one in claims
    ]


def failing_controls(claims: Sequence[Claim]) -> list[Claim]:
    """The claims that must hold and do not."""
    return [one for one in claims if one.must_hold and one.finding.verdict != "holds"]


def is_confirmatory(claim: Claim, studied: str) -> bool:
    """Whether a claim is of the family; a control pair's row of the same name is not."""
    return claim.question.claim in CONFIRMATORY and claim.finding.target == studied


def _reachable(finding: Finding, n_claims: int) -> Verdict:
    """Fails where the nulls are many enough for a smaller p to have been possible."""
    k = min((bar.k for bar in finding.nulls.values()), default=None)
    return "untestable" if k is not None and n_claims / (1 + k) > LEVEL else "fails"


def _with_part(finding: Finding, part: str, verdict: Verdict, *, over: bool = False) -> Finding:
    """A finding with one more condition that is not met; what was not measured stays as it is.

    Args:
        finding: as it is.
        part, verdict: the condition, and what became of it.
        over: whether it overrules what fails too.
    """
    if finding.verdict == "untestable":
        return finding
    parts = dict(finding.parts) | {part: verdict}
    stays = finding.verdict in ("fails", "no test") and not over
    return replace(finding, parts=parts, verdict=finding.verdict if stays else verdict)
