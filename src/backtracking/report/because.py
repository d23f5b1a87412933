"""Why a verdict is what it is, in sentences: every condition that is not met, in words."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from backtracking.records.intervals import Bar
from backtracking.records.measured import BESIDE, COVARIANCE, ISOTROPIC, RANDOM
from backtracking.records.rows.claims import Claim, Finding
from backtracking.report.words import number, p_value, signed

Say = Callable[[Finding, str], str]
"""What a condition that is not met says; the text is what the pattern has caught."""

NOT_MET: Sequence[tuple[str, str, Say]] = (
    (r"legal", "no test", lambda f, _: f"The model is broken there: only {number(f.legal)} of the "
     "probability is on words that may stand"),
    (r"openers", "no test", lambda *_: "The openers cover too little of the backtracking for "
     "their probability to tell of it"),
    (r"kinds", "untestable", lambda *_: "Too many of the kinds that code told were wrong to a "
     "person who read some"),
    (r"measured", "untestable", lambda *_: "It was not measured"),
    (r"off_0", "fails", lambda *_: "The interval holds 0, or the effect has the wrong sign"),
    (r"reaches_floor", "fails", lambda *_: "The effect is smaller than a claim may rest on"),
    (r"reaches_floor", "no test", lambda *_: ""),
    (r"beyond_controls", "untestable", lambda *_: "The study has no control to exceed"),
    (r"beyond_control_(.*)", "fails", lambda _, who: f"It does not exceed that in the control pair "
     f"`{who}`"),
    (r"beyond_control_(.*)", "no test", lambda _, who: f"In the control pair `{who}` the model is "
     "broken, so that exceeding it means nothing"),
    (r"beyond_control_(.*)", "untestable", lambda _, who: f"It was not measured in the control "
     f"pair `{who}`"),
    (r"beyond_base_(.*)", "fails", lambda _, who: f"That of the base `{who}` does as much"),
    (r"beyond_base_(.*)", "no test", lambda _, who: f"The direction of the base `{who}` breaks the "
     "model, so that exceeding it means nothing"),
    (r"beyond_direction_(.*)", "fails", lambda _, who: f"The control direction `{who}` does as "
     "much"),
    (r"beyond_direction_(.*)", "no test", lambda _, who: f"The control direction `{who}` breaks "
     "the model, so that exceeding it means nothing"),
    (r"beyond_direction_(.*)", "untestable", lambda _, who: f"The control direction `{who}` was "
     "not measured: the traces have no decisions of both its classes"),
    (r"beyond_tokens", "fails", lambda *_: "It tells no more than the words do"),
    (r"beyond_(.*)", "fails", lambda f, who: f"It is not beyond {_null(who, f.nulls)}"),
    (r"above_(0|chance)", "fails", lambda *_: "The interval reaches down to chance"),
    (r"falls", "fails", lambda *_: "Backtracking does not fall"),
    (r"falls_beyond_each_random_set", "fails", lambda *_: "It falls no more than without other "
     "components of the same kinds"),
    (r"solve_rate_.*|conditional_validity_.*", "fails", lambda *_: "The model is broken without "
     "them: it solves less, or writes more wrong sentences"),
    (r"whole_steers", "fails", lambda *_: "The whole direction does not steer either"),
    (r"whole_steers|projected_steers", "no test", lambda *_: "The model is broken there"),
    (r"projected_steers", "fails", lambda *_: "Without the words nothing is left that steers"),
    (r"tells_dead_from_alive", "fails", lambda *_: "Unsteered, the model backtracks no more at "
     "dead ends than at live points"),
    (r"premise", "no test", lambda *_: "The base does not tell the classes apart where it is "
     "steered, so that it has no such direction there"),
    (r"premise", "untestable", lambda *_: "Whether the base tells the classes apart there was not "
     "measured"),
    (r"p_after_holm", "fails", lambda f, _: "After Holm's correction p is "
     f"{p_value(f.p_adjusted)}"),
    (r"p_after_holm", "untestable", lambda f, _: f"After Holm's correction p is "
     f"{p_value(f.p_adjusted)}, the least that {_fewest(f)} directions can give"),
    (r"positive_control", "no test", lambda *_: "What the pair was made to show is not seen "
     "in this study, so nothing else is tested either"),
    (r"separates", "fails", lambda *_: "The projection does not tell the classes apart within "
     "strata: the interval reaches down to chance"),
    (r"beyond_untaught", "fails", lambda f, _: "The projection tells the classes apart no better "
     f"than that of a base which never read about them, whose interval ends at {number(f.null)}"),
    (r"beyond_untaught", "untestable", lambda *_: "The words alone decide the class, and the study "
     "has no base that was never taught it"),
)  # fmt: skip
"""What is said of a condition, by pattern of its name and by what became of it."""


def because(finding: Finding) -> str:
    """Sentences on every condition that is not met; of a claim that holds, on its interval."""
    lacking = ((part, one) for part, one in finding.parts.items() if one != "holds")
    told = [_sentence(finding, part, verdict) for part, verdict in lacking]
    told.append(finding.why)
    if finding.verdict == "holds" and finding.resampled == "test problems":
        told.append("The interval is conditional on the direction")
    told = [one for one in dict.fromkeys(told) if one] or [_in_short(finding)]
    return " ".join(sentence(one) for one in told)


def sentence(text: str) -> str:
    """A text as a sentence, or as several; nothing of nothing."""
    text = text.rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def nulls(found: Finding) -> str:
    """Every null of a finding: its bound, p, its size, and whether it has to be beaten."""
    told = (
        f"{name.replace('_', ' ')}{' (not to be beaten)' if name in BESIDE else ''}: 95 % stay on "
        f"this side of {signed(bar.bound)}, p = {p_value(bar.p)}, K = {bar.k}"
        for name, bar in found.nulls.items()
    )
    return "; ".join(told) or "none"


def verdict_of(claim: Claim) -> str:
    """The verdict in words, with what must be and with what was not named in advance."""
    found = claim.finding.verdict
    if claim.must_fail:
        return _must(found, "fails", "MUST NOT: this is a control pair")
    if claim.must_hold:
        return _must(found, "holds", "MUST HOLD: this is the positive control")
    exploratory = found == "holds" and not (claim.confirmatory or is_premise(claim))
    return f"**{found}**" + (" (exploratory)" if exploratory else "")


def is_premise(claim: Claim) -> bool:
    """Whether a row is no claim, but what claims about the base's direction rest on."""
    return claim.question.claim == "premise"


def _must(found: str, wanted: str, alarm: str) -> str:
    if found == wanted:
        return f"{found}, as it must"
    if found in ("holds", "fails"):
        return f"**{found.upper()}, AND {alarm}**"
    return f"{found}, where it must be seen that it {wanted}"


def _in_short(finding: Finding) -> str:
    """Of a finding without conditions and without a reason."""
    if finding.verdict == "holds":
        return "Every condition is met"
    if finding.verdict != "fails" or finding.null is None:
        return ""
    return f"It does not get beyond {number(finding.null)}"


WHERE = {"raises": "At live points", "lowers": "Reversed, at dead ends"}
"""Where the two effects of a claim of causality are measured."""

_EFFECT = re.compile(rf"({'|'.join(WHERE)})_(.*)")


def _sentence(finding: Finding, part: str, verdict: str) -> str:
    if effect := _EFFECT.fullmatch(part):
        # What a finding has is the nulls of its first effect.
        its = finding if effect[1] == "raises" else replace(finding, nulls={})
        told = _sentence(its, effect[2], verdict)
        return told and f"{WHERE[effect[1]]}: {told[:1].lower()}{told[1:]}"
    for pattern, becomes, say in NOT_MET:
        match = re.fullmatch(pattern, part)
        if match and becomes == verdict:
            return say(finding, match[1] if match.groups() else "")
    return f"{part.replace('_', ' ')}: {verdict}"


def _null(name: str, nulls: Mapping[str, Bar]) -> str:
    bar = nulls.get(name)
    if bar is None:
        is_null = name in (RANDOM, ISOTROPIC, COVARIANCE, *BESIDE)
        return f"95 % of the {name} directions" if is_null else f"that of `{name}`"
    return (
        f"95 % of the {bar.k} {name.replace('_', ' ')} directions, which stay on this side of "
        f"{signed(bar.bound)} (p = {p_value(bar.p)})"
    )


def _fewest(finding: Finding) -> str:
    return str(min((bar.k for bar in finding.nulls.values()), default="so few"))
