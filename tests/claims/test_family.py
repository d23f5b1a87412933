"""What is judged together: premise, Holm over the confirmatory family, the positive control."""

import pytest

from backtracking.claims.family import judge_together
from backtracking.records.intervals import Bar, Verdict
from backtracking.records.rows.claims import Claim, Finding, Published, Question


def claim(
    name: str,
    verdict: Verdict = "holds",
    p: float | None = 0.01,
    target: str = "reasoning",
    k: int = 399,
    **known: bool,
) -> Claim:
    question = Question(name, "", "", "", "", "emergent", Published(None, ""))
    nulls = {"isotropic": Bar(k, 0.1, p or 1.0)}
    finding = Finding(verdict, 0.4, 0.3, 0.5, 60, p=p, direction="base", target=target, nulls=nulls)
    must_fail, must_hold = (known.get(one, False) for one in ("must_fail", "must_hold"))
    return Claim(question, finding, "not comparable", must_fail, must_hold, {})


def judged(*claims: Claim) -> dict[str, Finding]:
    return {one.question.claim: one.finding for one in judge_together(claims, "reasoning")}


def test_three_claims_share_one_level_and_no_other_is_confirmatory() -> None:
    rows = judge_together(
        [claim("primary", p=0.03), claim("causal", p=0.01), claim("belief", p=0.2),
         claim("steers_without_words", p=0.04), claim("causal", target="shuffled")],
        "reasoning",
    )  # fmt: skip
    assert [one.confirmatory for one in rows] == [True, True, True, False, False]
    primary, causal, *_ = (one.finding for one in rows)
    assert (primary.p_adjusted, primary.verdict) == (pytest.approx(0.06), "fails")
    assert (causal.p_adjusted, causal.verdict) == (pytest.approx(0.03), "holds")
    assert rows[3].finding.verdict == "holds" and rows[3].finding.p_adjusted is None


def test_nulls_too_few_for_a_corrected_p_are_untestable_and_not_false() -> None:
    rest = claim("causal", "fails", p=0.9), claim("belief", p=0.9)
    found = judged(claim("primary", p=1 / 40, k=39), *rest)
    assert found["primary"].verdict == "untestable"


def test_without_a_premise_the_bases_direction_is_no_test_and_the_models_own_is() -> None:
    found = judged(claim("primary"), claim("causal"), claim("premise", "fails", p=None))
    assert (found["primary"].verdict, found["causal"].verdict) == ("no test", "holds")
    found = judged(claim("primary", "fails", p=0.9), claim("premise", "fails", p=None))
    assert found["primary"].verdict == "no test"
    found = judged(claim("primary", "untestable", p=None), claim("premise", "fails", p=None))
    assert found["primary"].verdict == "untestable"


def test_where_the_positive_control_fails_nothing_else_about_steering_is_tested() -> None:
    control = claim("transfer", "fails", target="repurposed", must_hold=True)
    false = claim("causal", "fails", target="shuffled", must_fail=True)
    rows = judge_together([claim("primary"), control, false, claim("ward_alike")], "reasoning")
    assert [one.finding.verdict for one in rows] == ["no test", "fails", "no test", "holds"]
    works = claim("transfer", target="repurposed", must_hold=True)
    rows = judge_together([claim("primary"), works], "reasoning")
    assert rows[0].finding.verdict == "holds"
