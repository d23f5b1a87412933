"""docs/findings.md: every claim with its verdict, its published value and the control pairs'."""

from collections.abc import Callable, Sequence

from backtracking.records.rows.claims import Beside, Claim, Finding
from backtracking.report.committed import Results
from backtracking.report.findings import interval, markdown, number, signed

NONE = "None."


def verdict_table(verdict: str) -> Callable[[Results], str]:
    """The claims of a verdict, the pair under study only."""

    def write(results: Results) -> str:
        rows = [claim for claim in of_pair(results) if claim.finding.verdict == verdict]
        return _table(rows) if rows else NONE

    return write


def published_table(results: Results) -> str:
    """Published values beside ours, where both are of the same quantity or have a number at all."""
    rows = [
        [
            claim.question.claim,
            claim.question.published.source,
            number(claim.question.published.value),
            _estimate(claim.finding),
            claim.agreement,
        ]
        for claim in of_pair(results)
        if claim.question.published.value is not None
    ]
    return markdown(["claim", "source", "published", "ours", "agreement"], rows)


def controls_table(results: Results) -> str:
    """Every claim of the pair under study beside the same in each control pair."""
    claims = of_pair(results)
    controls = list(claims[0].by_control)
    rows = [
        [
            claim.question.claim,
            f"{signed(claim.finding.estimate)} {claim.finding.verdict}",
            *(_beside(claim.by_control[control]) for control in controls),
        ]
        for claim in claims
    ]
    return markdown(["claim", "pair under study", *controls], rows)


def open_questions(results: Results) -> str:
    """What the rows themselves leave open, one line each."""
    lines = [line for claim in of_pair(results) for line in _doubts(claim)]
    lines += [
        f"- **{one.question.claim}, {one.pair}: holds in a control pair in which it must fail.**"
        for one in results.claims
        if one.must_fail and one.finding.verdict == "holds"
    ]
    return "\n".join(lines) if lines else NONE


def of_pair(results: Results) -> list[Claim]:
    """The rows of the pair under study; a control pair's own rows stand beside them."""
    return [claim for claim in results.claims if not _is_control(claim)]


def _is_control(claim: Claim) -> bool:
    return claim.pair.split(" -> ")[-1] in claim.by_control


def _doubts(claim: Claim) -> Sequence[str]:
    name = f"- `{claim.question.claim}`"
    if claim.finding.verdict == "untestable":
        return [f"{name}: untestable here{_why(claim)}."]
    if claim.finding.verdict != "holds":
        return []
    if claim.question.kind == "built_in":
        return [f"{name}: holds by the organism's design, and so replicates nothing."]
    also = [role for role, one in claim.by_control.items() if one.verdict == "holds"]
    if also:
        return [
            f"{name}: holds in {', '.join(also)} too, so it is no sign of anything that the pair "
            "under study has and these lack."
        ]
    return []


def _why(claim: Claim) -> str:
    return f" ({claim.finding.why})" if claim.finding.why else ""


def _table(claims: Sequence[Claim]) -> str:
    rows = [
        [
            claim.question.claim,
            claim.question.study,
            claim.question.statement,
            _estimate(claim.finding),
            number(claim.finding.null) if claim.finding.null is not None else "",
            claim.question.kind.replace("_", " "),
            _reasons(claim.finding),
        ]
        for claim in claims
    ]
    return markdown(["claim", "study", "statement", "ours", "null", "kind", "because"], rows)


def _estimate(found: Finding) -> str:
    if found.estimate is None:
        return ""
    ends = interval(found.low, found.high)
    n = f", n = {found.n}" if found.n else ""
    return f"{signed(found.estimate)}" + (f" ({ends}{n})" if ends else "")


def _reasons(found: Finding) -> str:
    parts = [f"{part}: {one}" for part, one in found.parts.items() if one != "holds"]
    return "; ".join([*parts, *([found.why] if found.why else [])])


def _beside(found: Beside) -> str:
    told = [] if found.estimate is None else [signed(found.estimate)]
    return " ".join([*told, found.verdict])


BLOCKS: dict[str, Callable[[Results], str]] = {
    "holds": verdict_table("holds"),
    "fails": verdict_table("fails"),
    "untestable": verdict_table("untestable"),
    "published": published_table,
    "control-pairs": controls_table,
    "open": open_questions,
}
"""Name of a generated block to what writes it."""
