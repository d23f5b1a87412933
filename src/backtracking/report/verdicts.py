"""docs/findings.md: its five tables, after what to believe and before the exploratory claims."""

from collections.abc import Callable, Mapping
from itertools import groupby

from backtracking.claims.literature.own import STATEMENTS
from backtracking.records.rows.claims import Beside, Finding
from backtracking.report.because import because, nulls, sentence, verdict_of
from backtracking.report.committed import Results
from backtracking.report.exploratory import exploratory
from backtracking.report.sentences import BELIEF, NONE, believe, find
from backtracking.report.words import interval, joined, markdown, number, p_value, signed

NOT_MEASURED = (
    "Not measured: `backtracking profile use organism-seeds` and `make reproduce` train and "
    "measure ten pairs, and `python -m backtracking.report.trained --device NAME` keeps what they "
    "gave."
)


def premise_table(results: Results) -> str:
    """Whether each base tells the classes apart where it is steered."""
    claim = find(results, "premise")
    if claim is None:
        return NONE
    own = claim.finding
    rows = [[own.target, own.estimate, own.low, own.high, own.verdict, because(own)]]
    rows += [
        [one.target, one.estimate, one.low, one.high, one.verdict, sentence(one.why)]
        for one in claim.by_control.values()
        if one.target != own.target
    ]
    told = [
        [f"`{who}`", number(value), interval(low, high), verdict, why]
        for who, value, low, high, verdict, why in rows
    ]
    columns = ["base", "AUROC within strata, dev", "interval", "verdict", "because"]
    return markdown(columns, told)


def primary_table(results: Results) -> str:
    """The claims of steering in every pair, with all nulls and with what the model could write."""
    rows = [one for one in results.claims if one.question.claim in STATEMENTS]
    told = [
        [
            f"`{one.question.claim}`",
            one.finding.pair,
            _estimate(one.finding),
            _of_ceiling(one.finding),
            _log_odds(one.finding),
            "not measured" if one.finding.legal is None else number(one.finding.legal),
            nulls(one.finding),
            "" if one.finding.p_adjusted is None else p_value(one.finding.p_adjusted),
            verdict_of(one),
            because(one.finding),
        ]
        for one in rows
    ]
    columns = ["claim", "direction -> target", "effect", "of the ceiling", "in log-odds", "P_legal"]
    return markdown([*columns, "nulls", "p after Holm", "verdict", "because"], told)


def doses_table(results: Results) -> str:
    """How much of each direction is needed, added to the model under study."""
    told = [
        [
            row["direction"],
            row["kind"],
            "added" if row["sign"] == "1" else "subtracted",
            f"{signed(row['effect'])} ({interval(row['effect_low'], row['effect_high'])})",
            row["n"],
            number(row["peak"]),
            _ed50(row),
            row["ed50_mean_residual_norms"] and number(row["ed50_mean_residual_norms"]),
            STATUS[row["status"]],
        ]
        for row in results.table_by_name["ed50"]
    ]
    columns = ["direction", "at", "it is", "effect beyond random, at the peak", "problems", "peak"]
    columns += ["ED50", "ED50 in mean residual norms", "because"]
    return markdown(columns, told) if told else NONE


def belief_table(results: Results) -> str:
    """What the stage `belief` says of both directions, here and in the control pairs."""
    rows: list[list[str]] = []
    for name in BELIEF:
        claim = find(results, name)
        if claim is not None:
            own = claim.finding
            null = "" if own.null is None else f"{number(own.null)}, p = {p_value(own.p)}"
            told = [_estimate(own), null, verdict_of(claim), because(own)]
            rows.append([f"`{name}`", own.pair, *told])
            rows += [
                [f"`{name}`", pair_of(one), _value(one), "", one.verdict, sentence(one.why)]
                for one in claim.by_control.values()
            ]
    columns = ["claim", "direction -> target", "share of the report's natural difference"]
    columns += ["95 % of random below", "verdict"]
    return markdown([*columns, "because"], rows) if rows else NONE


def pairs_table(results: Results) -> str:
    """Every trained pair: the primary endpoint with its effect, and what became of each claim."""
    by_pair = groupby(results.trained, key=lambda row: row["number"])
    told = [_trained_pair({row["claim"]: row for row in rows}) for _, rows in by_pair]
    columns = ["pair", "layer, window", "primary effect", "of the ceiling", "P_legal", "p"]
    columns += [*STATEMENTS, "because"]
    devices = joined(sorted({row["device"] for row in results.trained}))
    return f"{markdown(columns, told)}\n\nMeasured on: {devices}." if told else NOT_MEASURED


def _trained_pair(row_by_claim: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The line of a pair, from its rows by claim."""
    first = row_by_claim["primary"]
    ends = interval(first["low"], first["high"])
    claims_by_reason: dict[str, list[str]] = {}
    for claim, row in row_by_claim.items():
        if row["verdict"] != "holds":
            claims_by_reason.setdefault(row["because"], []).append(f"`{claim}`")
    return [
        f"{first['direction']} -> {first['target']}",
        f"{first['layer']}, {first['window']}",
        f"{signed(first['effect'])} ({ends}, n = {first['n']})" if ends else "",
        number(first["of_ceiling"]) if first["of_ceiling"] else "not measured",
        number(first["legal"]) if first["legal"] else "not measured",
        number(first["p"]),
        *(row_by_claim[claim]["verdict"] for claim in STATEMENTS),
        " ".join(f"{joined(claims)}: {told}" for told, claims in claims_by_reason.items()),
    ]


def pair_of(found: Beside) -> str:
    """What was added to what in a control pair."""
    return f"{found.direction} -> {found.target}" if found.direction else found.target


STATUS = {
    "defined": "Half of the effect at the peak is reached between two doses.",
    "left-censored": "The smallest dose has half of it already, so less may do.",
    "censored": "The peak is the largest dose, so more may do more.",
    "undefined": "The effect at the peak may be 0.",
}
"""What became of a curve, in a sentence."""


def _ed50(row: Mapping[str, str]) -> str:
    if row["status"] == "left-censored":
        return f"at most {number(row['smallest'])}"
    if not row["ed50"]:
        return "none"
    low, high = row["ed50_low"], row["ed50_high"]
    ends = f"{number(low)} to {number(high)}" if low and high else f"at most {number(high)}"
    least = "at least " if row["status"] == "censored" else ""
    return f"{least}{number(row['ed50'])} ({ends})"


def _of_ceiling(found: Finding) -> str:
    return number(found.of_ceiling.value) if found.of_ceiling else "not measured"


def _log_odds(found: Finding) -> str:
    told = found.log_odds
    if told is None or told.value is None:
        return "not measured"
    return f"{signed(told.value)} ({interval(told.low, told.high)})"


def _estimate(found: Finding) -> str:
    if found.estimate is None:
        return ""
    ends = interval(found.low, found.high)
    n = f", n = {found.n}" if found.n else ""
    return f"{signed(found.estimate)}" + (f" ({ends}{n})" if ends else "")


def _value(found: Beside) -> str:
    return "" if found.estimate is None else number(found.estimate)


BLOCKS: Mapping[str, Callable[[Results], str]] = {
    "believe": believe,
    "premise": premise_table,
    "primary": primary_table,
    "doses": doses_table,
    "belief": belief_table,
    "pairs": pairs_table,
    "exploratory": exploratory,
}
"""Name of a generated block to what writes it."""
