"""docs/findings.md after its tables: the claims that were not named in advance, in sentences."""

from backtracking.claims.literature.own import STATEMENTS
from backtracking.records.rows.claims import Beside, Claim
from backtracking.report.because import because, is_premise, nulls, sentence, verdict_of
from backtracking.report.committed import Results
from backtracking.report.sentences import BELIEF, NONE, of_pair
from backtracking.report.words import interval, number


def exploratory(results: Results) -> str:
    """What no table has: a line a claim of the pair under study, and what control pairs say."""
    told = [
        claim_line(one)
        for one in of_pair(results)
        if one.question.claim not in (*STATEMENTS, *BELIEF) and not is_premise(one)
    ]
    return "\n".join(told) or NONE


def claim_line(claim: Claim) -> str:
    """What a claim says, what was found, and what was published."""
    asked, found = claim.question, claim.finding
    ends = interval(found.low, found.high)
    size = f" ({ends}, n = {found.n})" if ends else ""
    value = "none" if found.estimate is None else f"{number(found.estimate)}{size}"
    measured = sentence(asked.contrast.replace(" - ", " minus "))[:-1]
    published = _published(claim)
    told = [
        f"- `{asked.claim}` ({asked.study}). {asked.statement} {verdict_of(claim)}.",
        BUILT_IN if asked.kind == "built_in" else "",
        f"{measured}: {value}. {because(found)}",
        f"Nulls: {nulls(found)}." if found.nulls else "",
        f"`P_legal` {number(found.legal)}." if found.legal is not None else "",
        _in_controls(claim),
        f"Published: {published}." if published else "",
    ]
    return " ".join(one.strip() for one in told if one)


def _in_controls(claim: Claim) -> str:
    beside = claim.by_control
    if all(one.verdict == "untestable" for one in beside.values()):
        return "Not measured in a control pair." if beside else ""
    told = ", ".join(f"`{name}` {_beside(one)}" for name, one in beside.items())
    return f"In control pairs: {told}."


BUILT_IN = "The world's design decides it, so that it replicates nothing."


def _published(claim: Claim) -> str:
    """The published value with where it stands and whether ours agrees; empty where none is."""
    found = claim.question.published
    if found.value is None:
        return ""
    return f"{number(found.value)} ({found.source}): {claim.agreement}"


def _beside(found: Beside) -> str:
    value = "" if found.estimate is None else number(found.estimate)
    return f"{value} {found.verdict}".strip()
