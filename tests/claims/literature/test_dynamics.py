"""Claims about state models and about representations of states, on planted tables."""

import pytest
from synthetic_results import study_with

from backtracking.claims.literature import components, dynamics, ladder, phua, stability
from backtracking.claims.literature.collect import all_claims
from backtracking.records.intervals import Interval, Verdict
from backtracking.records.rows.belief import BeliefEvidence
from backtracking.records.rows.claims import Claim, Evidence, Finding
from backtracking.records.rows.components import Specific
from backtracking.records.rows.measures import EventMeasure
from backtracking.records.rows.probe import Choice, GridCell, Pairs, ProbeSelection
from backtracking.records.rows.table import Row
from backtracking.records.rows.transitions import (
    Compared,
    Density,
    Representation,
    Rung,
    Selection,
    StateModel,
)


def interval(value: float, half: float = 0.02) -> Interval:
    return Interval(value, value - half, value + half, 79)


def compared(gain: float, half: float = 0.02) -> Compared:
    return Compared(None, None, None, 79, interval(-gain, half))


def chain(name: str, gain: float, role: str = "labels") -> StateModel:
    return StateModel(role, name, compared(gain))


@pytest.mark.parametrize(("hmm", "verdict"), [(0.2, "holds"), (0.5, "fails")])
def test_a_switching_system_has_to_beat_a_hidden_markov_model_too(hmm: float, verdict: str) -> None:
    models = [chain("markov_1", 0.0), chain("markov_3", 0.25), chain("iid", -0.7)]
    models += [chain("hmm", hmm, "reasoning"), chain("slds", 0.35, "reasoning")]
    models.append(chain("hmm", 0.9, "shuffled"))
    row = dynamics.claims(study_with(*models))[0]
    assert (row.finding.estimate, row.finding.verdict) == (0.35, verdict)
    assert row.finding.null == pytest.approx(max(0.25, hmm))
    assert (
        row.finding.parts["beyond_hmm"] == verdict
        and row.finding.parts["beyond_markov_3"] == "holds"
    )


@pytest.mark.parametrize(("linear", "verdict"), [(0.4, "holds"), (0.68, "fails")])
def test_r2_stands_beside_the_published_one_and_beside_one_linear_system(
    linear: float, verdict: str
) -> None:
    models = [
        Density(role, model, interval(0.0), interval(0.0), interval(r2))
        for role, gain in (("reasoning", 0.0), ("shuffled", 0.2))
        for model, r2 in (("slds", 0.67 + gain), ("var_1", linear))
    ]
    row = dynamics.claims(study_with(*models))[1]
    assert (row.finding.verdict, row.agreement, row.finding.null) == (verdict, "agrees", linear)
    assert row.by_control["shuffled"].estimate == pytest.approx(0.87)


def test_the_same_state_has_to_look_more_alike_than_its_tokens_do() -> None:
    def alike(role: str, layer: int | None, auroc: float) -> Row:
        numbers = interval(auroc), None, None, 20, 20
        return Representation(role, layer, "same_words_other_state", *numbers)

    def row(own: float) -> Claim:
        rows = alike("reasoning", 1, own), alike("shuffled", 1, 0.9), alike("tokens", None, 0.6)
        return phua.claims(study_with(Selection("dev", 1, 4, (), {}, {}, None), *rows))[0]

    assert row(0.8).finding.verdict == "holds"
    assert row(0.8).by_control["shuffled"].estimate == 0.9
    assert row(0.61).finding.parts == {"above_chance": "holds", "beyond_tokens": "fails"}


def test_events_that_come_back_are_no_evidence_of_instability() -> None:
    def row(share: float) -> Claim:
        value = Interval(share, share - 0.02, share + 0.02, 79)
        measure = EventMeasure("reasoning", "keyword_not_reproduced", value)
        return stability.claims(study_with(measure))[0]

    assert [row(share).finding.verdict for share in (0.93, 0.51, 0.2)] == [
        "holds",
        "fails",
        "fails",
    ]
    assert row(0.93).agreement == "agrees" and row(0.2).agreement == "differs"


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
    end, first = (
        Rung(position, "tokens_reasoning", compared(gain, 0.01))
        for position, gain in (("end", 0.5), ("first", 0.03))
    )
    rows = ladder.claims(study_with(end, first))
    row = next(row for row in rows if row.question.claim == "activation_beyond_tokens")
    numbers = row.finding.estimate, row.finding.low, row.finding.high
    assert numbers == pytest.approx((0.03, 0.02, 0.04)) and row.finding.verdict == "holds"


def cell(layer: int, pairs: Pairs, gain: float) -> GridCell:
    """What a probe of `doomed` gains over its baseline, give or take 0.1."""
    ends = (gain - 0.1, gain + 0.1)
    return GridCell(
        "reasoning", "decision", "doomed", pairs, layer, 4, 0.8, 0.7, 0.9, "words", 0.8 - gain,
        gain, *ends, *ends, None, 700, 70,
    )  # fmt: skip


def test_a_probe_is_judged_at_the_cell_that_dev_chose_against_its_best_baseline() -> None:
    best = Choice("reasoning", "decision", "doomed", 2, 4, "words", 0.1, 0.9)
    cells = [cell(1, "all", 0.5), cell(2, "absent", 0.6), cell(2, "all", 0.05)]
    rows = ladder.claims(study_with(*cells, ProbeSelection("dev", (best,), (best,))))
    row = next(row for row in rows if row.question.claim == "decodable_doomed")
    assert (row.finding.estimate, row.finding.verdict) == (0.05, "fails")
    assert row.by_control["shuffled"].verdict == "untestable"


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
