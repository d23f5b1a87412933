"""Why a verdict is what it is, in sentences: every condition that is not met, in words."""

import re
from collections.abc import Callable, Sequence

from backtracking.records.intervals import Bar
from backtracking.records.rows.claims import Claim, Finding
from backtracking.report.words import joined, number, signed

Say = Callable[[Finding, str], str]
"""What a condition that is not met says; the text is what the pattern has caught."""

NOT_MET: Sequence[tuple[str, str, Say]] = (
    (r"legal", "no test", lambda f, _: f"The model is broken there: only {number(f.legal)} of the "
     "probability is on words that may stand"),
    (r"measured", "untestable", lambda *_: "It was not measured"),
    (r"off_0", "fails", lambda *_: "The interval holds 0, or the effect has the wrong sign"),
    (r"reaches_floor", "fails", lambda *_: "The effect is smaller than a claim may rest on"),
    (r"reaches_floor", "no test", lambda *_: ""),
    (r"beyond_controls", "untestable", lambda *_: "The study has no control pair to exceed"),
    (r"beyond_control_(.*)", "fails", lambda _, who: f"It does not exceed that in the control pair "
     f"`{who}`"),
    (r"beyond_control_(.*)", "no test", lambda _, who: f"In the control pair `{who}` the model is "
     "broken, so that exceeding it means nothing"),
    (r"beyond_control_(.*)", "untestable", lambda _, who: f"It was not measured in the control "
     f"pair `{who}`"),
    (r"beyond_base_(.*)", "fails", lambda _, who: f"That of the base `{who}` does as much"),
    (r"beyond_base_(.*)", "no test", lambda _, who: f"The direction of the base `{who}` breaks the "
     "model, so that exceeding it means nothing"),
    (r"beyond_(.*)", "fails", lambda f, who: f"It is not beyond {_null(who, f.nulls.get(who))}"),
    (r"tells_dead_from_alive", "fails", lambda *_: "Unsteered, the model backtracks no more at "
     "dead ends than at live points"),
    (r"raises", "fails", lambda *_: "It does not make the model backtrack at live points by enough "
     "to count"),
    (r"raises", "no test", lambda *_: "At live points the model is broken"),
    (r"lowers", "fails", lambda *_: "Reversed, it does not stop the model at dead ends by enough "
     "to count"),
    (r"lowers", "no test", lambda *_: "Reversed, it breaks the model at dead ends"),
    (r"premise", "no test", lambda *_: "The base does not tell the classes apart where it is "
     "steered, so that it has no such direction there"),
    (r"premise", "untestable", lambda *_: "Whether the base tells the classes apart there was not "
     "measured"),
    (r"p_after_holm", "fails", lambda f, _: f"After Holm's correction p is {number(f.p_adjusted)}"),
    (r"p_after_holm", "untestable", lambda f, _: f"After Holm's correction p is "
     f"{number(f.p_adjusted)}, the least that {_fewest(f)} directions can give"),
    (r"positive_control", "no test", lambda *_: "What is true by construction is not seen in this "
     "study, so nothing else is tested either"),
    (r"separates", "fails", lambda *_: "The projection does not tell the classes apart within "
     "strata"),
    (r"beyond_tokens", "fails", lambda *_: "It tells no more than the words do"),
)  # fmt: skip
"""What is said of a condition, by pattern of its name and by what became of it."""


def because(finding: Finding) -> str:
    """Sentences on every condition that is not met; of a claim that holds, on its interval."""
    sentences = [_sentence(finding, part, verdict) for part, verdict in _lacking(finding)]
    sentences.append(finding.why)
    if finding.verdict == "holds" and finding.resampled == "test problems":
        sentences.append("The interval is conditional on the direction")
    return " ".join(f"{_capital(one)}." for one in dict.fromkeys(sentences) if one)


def verdict_of(claim: Claim) -> str:
    """The verdict in words, with what must be and with what was not named in advance."""
    found = claim.finding.verdict
    if claim.must_fail:
        return _must(found, "fails", "MUST NOT: this is a control pair")
    if claim.must_hold:
        return _must(found, "holds", "MUST HOLD: this is the positive control")
    exploratory = found == "holds" and not claim.confirmatory
    return f"**{found}**" + (" (exploratory)" if exploratory else "")


def _must(found: str, wanted: str, alarm: str) -> str:
    if found == wanted:
        return f"{found}, as it must"
    if found in ("holds", "fails"):
        return f"**{found.upper()}, AND {alarm}**"
    return f"{found}, where it must be seen that it {wanted}"


def _lacking(finding: Finding) -> list[tuple[str, str]]:
    """Conditions that are not met; several places of one kind with the same verdict are one."""
    lacking = [(part, one) for part, one in finding.parts.items() if one != "holds"]
    spans = [part for part, _ in lacking if part.count(",") >= 2]
    if not spans:
        return lacking
    verdicts = [one for part, one in lacking if part in spans]
    counted = joined([f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts)])
    rest = [(part, one) for part, one in lacking if part not in spans]
    return [*rest, (f"Of the places where it was asked, {counted}", "")]


def _sentence(finding: Finding, part: str, verdict: str) -> str:
    if not verdict:
        return part
    for pattern, becomes, say in NOT_MET:
        match = re.fullmatch(pattern, part)
        if match and becomes == verdict:
            return say(finding, match[1] if match.groups() else "")
    return f"{part.replace('_', ' ')}: {verdict}"


def _null(name: str, bar: Bar | None) -> str:
    words = f"95 % of {name.replace('_', ' ')} directions"
    if bar is None:
        return words
    return f"{words} ({bar.k} of them stay below {signed(bar.bound)}, p = {number(bar.p)})"


def _fewest(finding: Finding) -> str:
    return str(min((bar.k for bar in finding.nulls.values()), default="so few"))


def _capital(sentence: str) -> str:
    text = sentence.rstrip(".")
    return text[:1].upper() + text[1:]
