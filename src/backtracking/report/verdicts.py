"""docs/findings.md: every claim with its verdict, its published value and the control pairs'."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backtracking.report.committed import Results
from backtracking.report.findings import interval, markdown, number, signed

Claim = Mapping[str, Any]

NONE = "None."


def verdict_table(verdict: str) -> Callable[[Results], str]:
    """The claims of a verdict, the pair under study only."""

    def write(results: Results) -> str:
        rows = [claim for claim in of_pair(results) if claim["verdict"] == verdict]
        return _table(rows) if rows else NONE

    return write


def published_table(results: Results) -> str:
    """Published values beside ours, where both are of the same quantity or have a number at all."""
    rows = [
        [
            claim["claim"],
            claim["published"]["source"],
            number(claim["published"]["value"]),
            _estimate(claim),
            claim["agreement"],
        ]
        for claim in of_pair(results)
        if claim["published"]["value"] is not None
    ]
    return markdown(["claim", "source", "published", "ours", "agreement"], rows)


def controls_table(results: Results) -> str:
    """Every claim of the pair under study beside the same in each control pair."""
    claims = of_pair(results)
    controls = list(claims[0]["by_control"])
    rows = [
        [
            claim["claim"],
            f"{signed(claim['estimate'])} {claim['verdict']}",
            *(_beside(claim["by_control"][control]) for control in controls),
        ]
        for claim in claims
    ]
    return markdown(["claim", "pair under study", *controls], rows)


def open_questions(results: Results) -> str:
    """What the rows themselves leave open, one line each."""
    lines = [line for claim in of_pair(results) for line in _doubts(claim)]
    lines += [
        f"- **{claim['claim']}, {claim['pair']}: holds in a control pair in which it must fail.**"
        for claim in results.claims
        if claim["must_fail"] and claim["verdict"] == "holds"
    ]
    return "\n".join(lines) if lines else NONE


def of_pair(results: Results) -> list[Claim]:
    """The rows of the pair under study; a control pair's own rows stand beside them."""
    return [claim for claim in results.claims if not _is_control(claim)]


def _is_control(claim: Claim) -> bool:
    return claim["pair"].split(" -> ")[-1] in claim["by_control"]


def _doubts(claim: Claim) -> Sequence[str]:
    name = f"- `{claim['claim']}`"
    if claim["verdict"] == "untestable":
        return [f"{name}: untestable here{_why(claim)}."]
    if claim["verdict"] != "holds":
        return []
    if claim["kind"] == "built_in":
        return [f"{name}: holds by the organism's design, and so replicates nothing."]
    also = [role for role, one in claim["by_control"].items() if one["verdict"] == "holds"]
    if also:
        return [
            f"{name}: holds in {', '.join(also)} too, so it is no sign of anything that the pair "
            "under study has and these lack."
        ]
    return []


def _why(claim: Claim) -> str:
    return f" ({claim['why']})" if claim["why"] else ""


def _table(claims: Sequence[Claim]) -> str:
    rows = [
        [
            claim["claim"],
            claim["study"],
            claim["statement"],
            _estimate(claim),
            number(claim["null"]) if claim["null"] is not None else "",
            claim["kind"].replace("_", " "),
            _reasons(claim),
        ]
        for claim in claims
    ]
    return markdown(["claim", "study", "statement", "ours", "null", "kind", "because"], rows)


def _estimate(claim: Claim) -> str:
    if claim["estimate"] is None:
        return ""
    ends = interval(claim)
    n = f", n = {claim['n']}" if claim["n"] else ""
    return f"{signed(claim['estimate'])}" + (f" ({ends}{n})" if ends else "")


def _reasons(claim: Claim) -> str:
    parts = [f"{part}: {one}" for part, one in claim["parts"].items() if one != "holds"]
    return "; ".join([*parts, *([claim["why"]] if claim["why"] else [])])


def _beside(finding: Mapping[str, Any]) -> str:
    if finding["estimate"] is None:
        return finding["verdict"]
    return f"{signed(finding['estimate'])} {finding['verdict']}"


BLOCKS: dict[str, Callable[[Results], str]] = {
    "holds": verdict_table("holds"),
    "fails": verdict_table("fails"),
    "untestable": verdict_table("untestable"),
    "published": published_table,
    "control-pairs": controls_table,
    "open": open_questions,
}
"""Name of a generated block to what writes it."""
