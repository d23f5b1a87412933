"""What a reader should believe and why, in sentences whose numbers and verdicts are looked up."""

from collections.abc import Collection, Mapping, Sequence

from backtracking.claims.family import CONFIRMATORY, failing_controls
from backtracking.claims.literature.own import STUDY
from backtracking.records.intervals import Bar
from backtracking.records.measured import BESIDE
from backtracking.records.rows.claims import Claim, Count, Finding
from backtracking.report.because import because, is_premise
from backtracking.report.committed import Results
from backtracking.report.draws import tell_draws
from backtracking.report.needed import necessity, sizes
from backtracking.report.tables import p_backtrack_key
from backtracking.report.trained import counts
from backtracking.report.words import interval, joined, number, p_value, signed

NO_CONTROL = (
    "**This study has no positive control: nothing in it was made to be true, so a claim that "
    "fails may fail because the instrument cannot see it.**"
)


BELIEF = ("belief", "base_belief")
"""Claims that have a table of their own."""

NONE = "None."


def find(results: Results, claim: str) -> Claim | None:
    """The row of a claim in the pair under study."""
    return next((one for one in of_pair(results) if one.question.claim == claim), None)


def of_pair(results: Results) -> list[Claim]:
    """The rows of the pair under study; a control pair's own rows stand beside them."""
    return [one for one in results.claims if one.finding.target not in one.by_control]


def finding(results: Results) -> str:
    """The first sentences of the README: what was found, whether it holds, and who says so."""
    first = find(results, "primary")
    if failing_controls(results.claims) or first is None:
        return headline(results)
    controls, found = _must_hold(results), first.finding
    ks = joined([f"{bar.k} {_spelled(name)}" for name, bar in beaten(found).items()])
    beyond = f", beside {ks} directions that went as far" if ks else ""
    false = [one.finding.verdict for one in results.claims if one.must_fail]
    told = [
        "" if controls else NO_CONTROL,
        f"**{_moves(results, found)}.**",
        f"`primary` **{found.verdict}**{_holm(first)}{beyond}.",
        "" if controls else _own(results),
        f"Of {len(false)} claims that are false by construction {false.count('fails')} fail."
        if false
        else "",
        _alike(results, controls),
    ]
    return " ".join(one for one in told if one)


def headline(results: Results) -> str:
    """The same at length: nulls, controls and reasons; or that no control works."""
    failing, controls = failing_controls(results.claims), _must_hold(results)
    if failing:
        why = joined([f"{_named(one)} is `{one.finding.verdict}`" for one in failing])
        return (
            "**No positive control works in this study, so that it tests no claim about "
            f"steering.** What its pair was made to show is not seen: {why}. "
            f"{_because(failing[0])}"
        )
    first = find(results, "primary")
    if first is None:
        return NO_CONTROL
    told = [_effect(results, first.finding), _positive(results, controls), _negative(results)]
    if not controls:
        told.insert(1, _own(results))
    told.append(_primary(first))
    return " ".join(one for one in ([] if controls else [NO_CONTROL]) + told if one)


def believe(results: Results) -> str:
    """docs/findings.md before its tables: one paragraph a line of thought."""
    paragraphs = [
        headline(results),
        _single(results),
        tell_draws(results.summary),
        _cost(results),
        _premise(results),
        _family(results),
        _belief(results),
        necessity(results),
        sizes(results),
        _exploratory(results),
        _pairs(results),
    ]
    return "\n\n".join(one for one in paragraphs if one)


def _effect(results: Results, found: Finding) -> str:
    """The primary endpoint with its number, its nulls and what the model was still able to say.

    Empty where nothing was steered.
    """
    if found.estimate is None:
        return ""
    summary = results.summary
    legal = "was not measured" if found.legal is None else f"is {number(found.legal)}"
    ceiling = found.of_ceiling.value if found.of_ceiling else None
    share = f", {number(ceiling)} of what the donor's state does" if ceiling is not None else ""
    return (
        f"**{_moves(results, found, share)}.** {_nulls(found)} The "
        f"probability of a word that may stand there {legal}. Layer {summary['selection_layer']}, "
        f"window {summary['selection_window']}, both chosen on dev problems."
    )


def _moves(results: Results, found: Finding, more: str = "") -> str:
    """What the base's direction does to the primary endpoint."""
    summary = results.summary
    live, endpoint = summary["study_live"], summary["steer_endpoint"]
    before, after = (number(summary[f"{p_backtrack_key(live)}_{arm}"]) for arm in ARMS)
    return (
        f"The base model's dead-end direction, {summary['steer_how']} in the model under study "
        f"at the full stop where the next step is decided, takes {ENDPOINTS[endpoint]} at live "
        f"points (`{live}`) from {before} to {after}: {signed(found.estimate)} "
        f"({interval(found.low, found.high)}, {found.n} problems{more})"
    )


ARMS = ("baseline", "base")
ENDPOINTS = {
    "P_back": "the probability that the model really takes a step back",
    "P_open": "the probability of a word that may open backtracking, idle remarks among them,",
}
"""What is read, in words."""


def beaten(found: Finding) -> Mapping[str, Bar]:
    """The nulls that an effect has to beat; others stand beside it."""
    return {name: bar for name, bar in found.nulls.items() if name not in BESIDE}


def _spelled(name: str) -> str:
    return name.replace("_", " ")


def _nulls(found: Finding) -> str:
    told = {
        name: f"{signed(bar.bound)} in 95 % of {bar.k} {_spelled(name)} ones (p = {p_value(bar.p)})"
        for name, bar in found.nulls.items()
    }
    beside = [told.pop(name) for name in BESIDE if name in told]
    if not told:
        return ""
    also = f"; beside them, and not to be beaten, {joined(beside)}" if beside else ""
    return f"As far along other directions, it stays below {joined(list(told.values()))}{also}."


def _primary(claim: Claim) -> str:
    told = f"**{claim.finding.verdict}**{_holm(claim)}"
    return f"The primary claim: {told}. {_because(claim)}".strip()


def _holm(claim: Claim) -> str:
    p = claim.finding.p_adjusted
    return f" (p = {p_value(p)} after Holm)" if p is not None else ""


def _own(results: Results) -> str:
    """What the model's own direction does, which is no question about its base."""
    claim = find(results, "causal")
    if claim is None or claim.finding.estimate is None:
        return ""
    found = claim.finding
    return (
        f"Along the model's own direction it is {signed(found.estimate)} "
        f"({interval(found.low, found.high)}): `causal` **{found.verdict}**. {_because(claim)}"
    )


def _positive(results: Results, controls: Sequence[Claim]) -> str:
    """What the pair was made to show, and in how many pairs so made it is seen."""
    if not controls:
        return ""
    named = joined([_named(one) for one in controls])
    return f"What this pair was made to show is seen ({named}). {_alike(results, controls)}".strip()


def _alike(results: Results, controls: Sequence[Claim]) -> str:
    """In how many pairs that were made as this one the same is seen."""
    n_all, n_pairs = _n_with_all(results.trained, {one.question.claim for one in controls})
    if not n_pairs or not controls:
        return ""
    return (
        f"Of {n_pairs} pairs made alike from other seeds {n_all} show all that this pair was made "
        "to show, so training decides it, and not the recipe alone."
    )


def _n_with_all(rows: Sequence[Mapping[str, str]], claims: Collection[str]) -> tuple[int, int]:
    """Pairs in which all of these claims hold, and all pairs."""
    asked = [row for row in rows if row["claim"] in claims]
    lacking = {row["number"] for row in asked if row["verdict"] != "holds"}
    pairs = {row["number"] for row in rows}
    return len(pairs - lacking), len(pairs)


def _negative(results: Results) -> str:
    """What must fail, and whether its failing means anything."""
    rows = [one for one in results.claims if one.must_fail]
    by_verdict = {
        verdict: [_named(one) for one in rows if one.finding.verdict == verdict]
        for verdict in ("fails", "holds", "no test", "untestable")
    }
    told = []
    if by_verdict["fails"]:
        told.append(f"What is false by construction fails ({joined(by_verdict['fails'])}).")
    if by_verdict["holds"]:
        told.append(
            f"**What is false by construction is said to hold: {joined(by_verdict['holds'])}.**"
        )
    vacuous = by_verdict["no test"] + by_verdict["untestable"]
    if vacuous:
        told.append(f"No test of what must fail: {joined(vacuous)}.")
    unknown = [one for one in rows if one.finding.legal is None]
    if rows and len(unknown) == len(rows):
        told.append(
            "Whether these models were still able to write was not measured, so that failing may "
            "mean a broken model."
        )
    return " ".join(told)


def _single(results: Results) -> str:
    """What the mean effect does not tell: how single decisions move."""
    summary = results.summary
    match = {"target": summary["study_model"], "direction": summary["study_base"], "dose": "1"}
    match |= {"where": "decision", "edit": summary["steer_edit"], "kind": summary["study_live"]}
    for row in results.table_by_name["signs"]:
        if all(row[key] == value for key, value in match.items()):
            wrong, least, share = row["wrong_value"], row["effect_p5"], row["value"]
            return (
                "**Single decisions.** That effect has the wrong sign at "
                f"{number(wrong)} of the live decisions; at 95 % of them it is at least "
                f"{signed(least)}, and {number(share)} of the problems move as claimed."
            )
    return ""


def _cost(results: Results) -> str:
    """What becomes of whole generations along the base's direction."""
    base = results.summary["study_base"]
    match = {"target": results.summary["study_model"], "where": "decision"}
    found = {
        (row["direction"], row["measure"]): number(row["value"])
        for row in results.table_by_name["free"]
        if row["measure"] in COSTS
        and all(row[key] == value for key, value in match.items())
        and (row["direction"], row["dose"]) in (("baseline", "0"), (base, "1"))
    }
    if len(found) != 2 * len(COSTS):
        return ""
    told = [
        f"{label} {found[base, measure]} ({found['baseline', measure]} unsteered)"
        for measure, label in COSTS.items()
    ]
    return (
        "**What it costs.** Where the base's direction is added at every decision of whole "
        f"generations (dose 1), {joined(told)}."
    )


COSTS = {
    "solve_rate": "the share of problems solved is",
    "conditional_validity": "that of sentences which are right in their context",
    "truncated_rate": "that of generations which the limit on length cuts",
}
"""What steering should not cost, in words."""


def _premise(results: Results) -> str:
    claim = find(results, "premise")
    if claim is None:
        return ""
    found = claim.finding
    if found.estimate is None:
        return f"**Premise.** {_because(claim)}"
    return (
        f"**Premise.** Where it is steered, the base's direction tells "
        f"{results.summary['study_dead']} from {results.summary['study_live']} at an AUROC of "
        f"{number(found.estimate)} ({interval(found.low, found.high)}) within strata on dev "
        f"problems, where 0.5 is chance and {number(found.null)} was to be exceeded: "
        f"{found.verdict}. {_because(claim)}".strip()
    )


def _family(results: Results) -> str:
    """The claims that were named in advance."""
    rows = [one for name in CONFIRMATORY if (one := find(results, name)) is not None]
    told = [
        f"`{one.question.claim}` ({one.finding.pair}) **{one.finding.verdict}**. "
        f"{_because(one)}".strip()
        for one in rows
    ]
    return "**Named in advance, corrected together.** " + " ".join(told) if told else ""


def _belief(results: Results) -> str:
    base = find(results, "base_belief")
    if base is None:
        return ""
    return (
        "**Belief or action.** A belief would move what the model is asked for later (a report, or "
        "the claim in the next sentence) as far as the donor's own state does, at a dose that "
        "moves the marker, the word that opens a turn, as far. Of the base's direction "
        f"({base.finding.pair}): {base.finding.verdict}. {_because(base)}".strip()
    )


def _exploratory(results: Results) -> str:
    """How many other claims hold, and which of them hold in control pairs as well."""
    rows = [
        one
        for one in of_pair(results)
        if not (one.confirmatory or one.must_hold or is_premise(one))
    ]
    holds = [one for one in rows if one.finding.verdict == "holds"]
    also = [
        f"`{one.question.claim}`"
        for one in holds
        if any(other.verdict == "holds" for other in one.by_control.values())
    ]
    built_in = [f"`{one.question.claim}`" for one in holds if one.question.kind == "built_in"]
    own = sum(one.question.study == STUDY for one in rows)
    told = (
        f"**Everything else is exploratory and not corrected for its number.** Of {len(rows)} "
        f"further claims, {own} of them this study's own, "
        f"{len(holds)} {'holds' if len(holds) == 1 else 'hold'}."
    )
    if also:
        told += (
            f" In a control pair too, so no sign of a direction put to another use: {joined(also)}."
        )
    if built_in:
        told += f" By design of the world, so replicating nothing: {joined(built_in)}."
    return told


def _pairs(results: Results) -> str:
    """Of how many pairs all this is; others of the kind are only of a pair that was made alike."""
    one_pair = (
        "**The numbers above are of one trained pair**, so n = 1 for anything said about training: "
        "intervals tell what other problems would give, not what other pairs would."
    )
    return f"{one_pair} {_trained(results.trained)}" if _must_hold(results) else one_pair


def _trained(rows: Sequence[Mapping[str, str]]) -> str:
    """In how many trained pairs each claim holds."""
    if not rows:
        return "The study has not been run on other pairs; trials of six stand in method.md."
    found, devices = counts(rows), joined(sorted({row["device"] for row in rows}))
    return (
        f"{found[0].n_pairs} pairs, trained from different seeds by the same recipes, were "
        f"measured by the same code ({devices}), each by itself: no premise is asked of them, and "
        f"p is not corrected. {' '.join(map(_counted, found))} All of that holds in "
        f"{_n_with_all(rows, {one.claim for one in found})[0]}."
    )


def _counted(one: Count) -> str:
    tested = one.n_holds + one.n_fails
    mean = "" if one.estimate is None else f", mean effect {signed(one.estimate)}"
    ends = interval(one.low, one.high)
    return (
        f"`{one.claim}` holds in {one.n_holds} of {tested} pairs that could be tested"
        + f" (a share of {interval(one.share_low, one.share_high)} of all such pairs, at 95 %)"
        + mean
        + (f" ({ends})" if ends else "")
        + (f"; no test in {one.n_no_test}" if one.n_no_test else "")
        + "."
    )


def _must_hold(results: Results) -> Sequence[Claim]:
    return [one for one in results.claims if one.must_hold]


def _named(claim: Claim) -> str:
    return f"`{claim.question.claim}` of {claim.finding.pair}"


def _because(claim: Claim) -> str:
    return because(claim.finding)
