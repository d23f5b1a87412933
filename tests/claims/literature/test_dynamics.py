"""Claims about state models and about representations of states, on planted tables."""

from dataclasses import replace

import pytest
from synthetic_results import study_with

from backtracking.claims.literature import components, dynamics, ladder, phua, stability
from backtracking.claims.literature.collect import all_claims
from backtracking.records.intervals import Interval, Verdict
from backtracking.records.rows.belief import BeliefEvidence
from backtracking.records.rows.claims import Claim, Evidence, Finding
from backtracking.records.rows.components import Specific
from backtracking.records.rows.measures import EventMeasure
from backtracking.records.rows.probe import Choice, Probed, Within
from backtracking.records.rows.table import Row
from backtracking.records.rows.transitions import (
    Compared,
    Forecast,
    Representation,
    Rung,
    StateModel,
)


def interval(value: float, half: float = 0.02) -> Interval:
    return Interval(value, value - half, value + half, 79)


def compared(gain: float, half: float = 0.02) -> Compared:
    return Compared(interval(1.0 - gain, half), interval(-gain, half))


def chain(name: str, gain: float, role: str = "labels") -> StateModel:
    hidden = (12, "largest") if name == "slds" else (None, None)
    return StateModel(role, name, compared(gain), *hidden)


@pytest.mark.parametrize(("hmm", "verdict"), [(0.2, "holds"), (0.5, "fails")])
def test_a_switching_system_has_to_beat_a_hidden_markov_model_too(hmm: float, verdict: str) -> None:
    models = [chain("markov_1", 0.0), chain("markov_3", 0.25), chain("iid", -0.7)]
    models += [chain("hmm", hmm, "reasoning"), chain("slds", 0.35, "reasoning")]
    models += [chain("hmm", 0.9, "shuffled"), chain("law", 0.7, "writer")]
    row = dynamics.claims(study_with(*models))[0]
    assert (row.finding.estimate, row.finding.verdict) == (0.35, verdict)
    assert row.finding.null == pytest.approx(max(0.25, hmm))
    assert (
        row.finding.parts["beyond_hmm"] == verdict
        and row.finding.parts["beyond_markov_3"] == "holds"
    )
    why = row.finding.why
    assert why.startswith("It needs 0.650 (0.630 to 0.670) nats a sentence, and ")
    assert "the writer's law 0.300." in why and why.endswith("than the 12 of slds.")


def test_regimes_at_the_end_of_what_was_tried_are_said_to_be_there() -> None:
    row = dynamics.claims(study_with(chain("slds", 0.3, "reasoning")))[3]
    assert row.finding.verdict == "fails"
    assert row.finding.why == "Dev problems choose 12 regimes, the largest number that was tried."


@pytest.mark.parametrize(("linear", "verdict"), [(0.4, "holds"), (0.68, "fails")])
def test_r2_stands_beside_the_published_one_and_beside_one_linear_system(
    linear: float, verdict: str
) -> None:
    models = [
        Forecast(role, model, interval(r2))
        for role, gain in (("reasoning", 0.0), ("shuffled", 0.2))
        for model, r2 in (("slds", 0.67 + gain), ("var_1", linear))
    ]
    row = dynamics.claims(study_with(*models))[1]
    assert (row.finding.verdict, row.agreement, row.finding.null) == (verdict, "agrees", linear)
    assert row.by_control["shuffled"].estimate == pytest.approx(0.87)


def test_the_same_state_has_to_look_more_alike_than_its_tokens_do() -> None:
    def alike(role: str, auroc: float) -> Row:
        return Representation(role, interval(auroc), 20, 30)

    def row(own: float) -> Claim:
        rows = alike("reasoning", own), alike("shuffled", 0.9), alike("tokens", 0.6)
        return phua.claims(study_with(*rows))[0]

    assert row(0.8).finding.verdict == "holds"
    assert row(0.8).by_control["shuffled"].estimate == 0.9
    assert row(0.61).finding.parts == {"above_chance": "holds", "beyond_tokens": "fails"}


def test_events_that_come_back_are_no_evidence_of_instability() -> None:
    def row(share: float) -> Claim:
        value = Interval(share, share - 0.02, share + 0.02, 79)
        measure = EventMeasure("reasoning", "keyword_unstable", value)
        return stability.claims(study_with(measure))[0]

    assert [row(share).finding.verdict for share in (0.94, 0.51, 0.2)] == [
        "holds",
        "fails",
        "fails",
    ]
    assert row(0.94).agreement == "agrees" and row(0.2).agreement == "differs"


def test_the_set_that_comes_nearest_to_the_claim_is_shown() -> None:
    def specific(*components: str, verdict: Verdict) -> Specific:
        why = f"without {'+'.join(components)}"
        found = Finding(verdict, -0.1, -0.2, -0.05, 60, why=why, target="reasoning")
        evidence = Evidence("", "", "", "emergent", found)
        return Specific(components, evidence, "specific")

    rows = specific("mlp.0", verdict="fails"), specific("mlp.0", "mlp.1", verdict="holds")
    row = components.claims(study_with(*rows))[0]
    assert (row.finding.verdict, row.finding.why) == ("holds", "without mlp.0+mlp.1")


def test_the_gain_of_activations_is_told_in_nats_gained() -> None:
    own = Rung("tokens_reasoning", compared(0.03, 0.01), 0.001, "smallest")
    base = Rung("tokens_base", compared(0.002, 0.01), 0.001, "inside")
    rows = ladder.claims(study_with(own, base))
    row = next(row for row in rows if row.question.claim == "activation_beyond_tokens")
    numbers = row.finding.estimate, row.finding.low, row.finding.high
    assert numbers == pytest.approx((0.03, 0.02, 0.04)) and row.finding.verdict == "holds"
    assert "Its base's activations add 0.002 (-0.008 to 0.012)." in row.finding.why
    assert row.finding.why.endswith("The penalty is the smallest of the grid.")


def probed(target: str, gain: float) -> Probed:
    """What a probe gains over its baseline, give or take 0.02."""
    choice = Choice("reasoning", target, 2, -4, "words", 0.1, "inside", 0.9)
    return Probed(choice, interval(0.8), 0.8 - gain, interval(gain), 0.85, None, None, 700)


def test_a_probe_is_judged_at_the_cell_that_dev_chose_against_its_best_baseline() -> None:
    rows = ladder.claims(study_with(probed("doomed", 0.01), probed("over", 0.3)))
    row = next(row for row in rows if row.question.claim == "decodable_doomed")
    assert (row.finding.estimate, row.finding.verdict) == (0.01, "fails")
    assert row.finding.why == (
        "The probe of layer 2 at offset -4 has AUROC 0.800 (0.780 to 0.820), of 0.850 that anyone "
        "can have who reads the prefix; the best baseline, words, has 0.790."
    )
    assert row.by_control["shuffled"].verdict == "untestable"


@pytest.mark.parametrize(("beyond", "told"), [(0.01, "no more"), (0.1, "more")])
def test_a_probe_of_the_action_says_what_it_knows_beyond_the_kind(beyond: float, told: str) -> None:
    within = Within("reasoning", "over", interval(0.49), 300, 150)
    other = Within("reasoning", "solved", Interval(None, None, None, 0), 3, 0)
    row = replace(
        probed("backtracks", 0.1), kind_auroc=interval(0.79), beyond_kind=interval(beyond)
    )
    rows = ladder.claims(study_with(row, within, other))
    why = next(r for r in rows if r.question.claim == "decodable_backtracks").finding.why
    assert f"The true kind alone has 0.790 (0.770 to 0.810), so the probe knows {told} than" in why
    assert why.endswith("within a kind it has 0.490 (0.470 to 0.510) among over (150 of 300 turn).")


def test_every_claim_has_every_control_pair() -> None:
    rows = all_claims(study_with())
    assert len(rows) > 12
    assert all(list(row.by_control) == ["shuffled"] for row in rows)
    assert len({row.question.claim for row in rows}) == len(rows)


def test_a_belief_is_that_of_the_stage_with_its_reason() -> None:
    why = "there are no minimal pairs"
    found = Finding("untestable", n=0, why=why, direction="base", target="reasoning")
    row = BeliefEvidence("belief", "", "", "emergent", found)
    own, base = ladder.claims(study_with(row))[:2]
    assert own.finding.why == "not measured" and base.finding == found
