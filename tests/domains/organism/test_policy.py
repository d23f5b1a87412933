"""The policy keeps its stated probabilities: cells, dwell laws, entropy, checks, and its twin."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise, permutations
from random import Random

import numpy as np
import pytest
from written import Written

from backtracking.domains.organism.grammar import BACKTRACKING_OPENERS
from backtracking.domains.organism.policy import BasePolicy, Policy, Sentence, write_walk
from backtracking.domains.organism.states import Reading
from backtracking.domains.organism.world import World
from backtracking.labels.agreement import agreement
from backtracking.labels.rules import label_by_rules

RECOGNISABLE = ("over", "exhausted")


def decisions_of(traces: Sequence[Written]) -> list[Reading]:
    """Comparisons after which the writer decided; a solved search decides nothing."""
    readings = (reading for trace in traces for reading in trace.readings)
    return [reading for reading in readings if reading.action and reading.kind != "solved"]


def share(events: Iterable[bool]) -> float:
    return float(np.mean(list(events)))


def assert_rate(events: Iterable[bool], expected: float) -> None:
    """Five standard errors of a binomial."""
    seen = list(events)
    bound = 5 * np.sqrt(expected * (1 - expected) / len(seen))
    assert len(seen) > 50
    assert abs(share(seen) - expected) < bound


@pytest.mark.parametrize("kind", ["over", "exhausted"])
def test_a_recognisable_dead_end_is_acted_on_with_p_notice(
    written: list[Written], policy: Policy, kind: str
) -> None:
    actions = [reading.action for reading in decisions_of(written) if reading.kind == kind]
    assert_rate((action == "backtracks" for action in actions), policy.p_notice)
    assert "idles" not in actions


@pytest.mark.parametrize("kind", ["doomed", "alive"])
def test_elsewhere_it_idles_with_p_idle_and_never_backtracks(
    written: list[Written], policy: Policy, kind: str
) -> None:
    actions = [reading.action for reading in decisions_of(written) if reading.kind == kind]
    assert_rate((action == "idles" for action in actions), policy.p_idle)
    assert "backtracks" not in actions


def test_each_cell_of_dead_by_acts_holds_5_percent_of_decisions(written: list[Written]) -> None:
    cells = Counter(
        (reading.kind in RECOGNISABLE, reading.action != "carries_on")
        for reading in decisions_of(written)
    )
    assert len(cells) == 4
    assert min(cells.values()) >= 0.05 * cells.total()


def test_doomed_is_a_sixth_of_the_decisions_and_two_fifths_of_the_live_ones(
    written: list[Written],
) -> None:
    kinds = [reading.kind for reading in decisions_of(written)]
    live = [kind for kind in kinds if kind not in RECOGNISABLE]
    assert 0.15 < share(kind == "doomed" for kind in kinds) < 0.25
    assert 0.3 < share(kind == "doomed" for kind in live) < 0.5


def test_some_backtracking_does_without_the_word(written: list[Written]) -> None:
    openers = [sentences[0] for _, sentences in runs_of(written, "backtracking")]
    counts = Counter(sentence[0] for sentence in openers)
    assert set(counts) == {"Wait", "No", "Undo"}
    assert 0.2 < 1 - counts["Wait"] / counts.total() < 0.5


def test_every_opener_of_a_search_is_backtracking_and_backtracking_has_no_other(
    written: list[Written], twins: list[Written]
) -> None:
    """So P(opener) at a decision is P(backtracking there): no remark begins with the same word."""
    for trace in [*written, *twins]:
        for reading, sentence in zip(trace.readings, trace.sentences, strict=True):
            if sentence[0] in BACKTRACKING_OPENERS:
                assert reading.state == "backtracking"
    first = {its[0][0] for _, its in runs_of([*written, *twins], "backtracking")}
    assert first == set(BACKTRACKING_OPENERS)


def test_children_come_in_random_order(rewritten: list[Written]) -> None:
    for number in map(str, rewritten[0].numbers):
        assert_rate((trace.sentences[1][1] == number for trace in rewritten), 1 / 3)
    paths = {
        tuple(sentence[1] for sentence in trace.sentences if sentence[0] == "Try")[:3]
        for trace in rewritten
    }
    assert set(permutations(("3", "5", "9"))) & paths


def test_a_dead_end_is_carried_on_for_a_step_before_it_is_decided_again(
    written: list[Written],
) -> None:
    for trace in written:
        for first, second in pairwise(trace.decisions):
            assert second.n_sentences > first.n_sentences + (0 if first.acts else 1)


def test_the_policy_never_gives_up_and_never_decides_at_a_dead_root(written: list[Written]) -> None:
    ends = {trace.sentences[-1][0] for trace in written}
    cut = share(trace.sentences[-1][0] != "Found" for trace in written)
    assert "Give" not in ends
    assert cut < 0.02
    assert not any(step.at_root and step.dead for trace in written for step in trace.decisions)


def test_every_sentence_is_valid_and_every_state_occurs(written: list[Written]) -> None:
    readings = [reading for trace in written for reading in trace.readings]
    assert all(reading.valid and reading.form is not None for reading in readings)
    assert len({reading.state for reading in readings}) == 7


def test_rules_agree_with_the_exact_labels_neither_too_well_nor_too_badly(
    written: list[Written],
) -> None:
    pairs = [
        (reading.state, label_by_rules(" ".join(sentence)))
        for trace in written[:300]
        for reading, sentence in zip(trace.readings, trace.sentences, strict=True)
    ]
    found = agreement([exact for exact, _ in pairs], [rules for _, rules in pairs])
    assert found.kappa is not None and 0.5 < found.kappa < 0.9
    assert found.kappa_positive is not None and 0.4 < found.kappa_positive < 0.9


def runs_of(traces: Sequence[Written], state: str) -> list[tuple[Written, list[Sentence]]]:
    """Runs of neighbouring sentences of one state."""
    found: list[tuple[Written, list[Sentence]]] = []
    for trace in traces:
        before = ""
        for reading, sentence in zip(trace.readings, trace.sentences, strict=True):
            if reading.state == state and before != state:
                found.append((trace, []))
            if reading.state == state:
                found[-1][1].append(sentence)
            before = reading.state
    return found


@pytest.mark.parametrize(
    ("state", "law"),
    [("backtracking", "backtracking_dwell"), ("uncertainty-estimation", "uncertainty_dwell")],
)
def test_dwell_times_follow_their_law_which_is_not_geometric(
    written: list[Written], policy: Policy, state: str, law: str
) -> None:
    """A geometric dwell ends with the same probability after each sentence; these do not."""
    dwells = [len(sentences) for _, sentences in runs_of(written, state)]
    stated = getattr(policy, law)
    for n, expected in enumerate(stated, start=1):
        assert_rate((dwell == n for dwell in dwells), expected)
    ends_at_1 = share(dwell == 1 for dwell in dwells)
    ends_at_2 = share(dwell == 2 for dwell in dwells if dwell >= 2)
    assert ends_at_2 - ends_at_1 > 0.2
    assert max(dwells) == len(stated)


def test_the_entropy_rate_of_labels_is_at_least_0_3_nats_a_sentence(
    written: list[Written], policy: Policy
) -> None:
    """A lower bound: labels are less certain given their own history than given the full prefix."""
    entropies = [entropy(law) for trace in written for law in label_laws(trace, policy)]
    assert np.mean(entropies) >= 0.3


def entropy(law: dict[str, float]) -> float:
    p = np.array([value for value in law.values() if value > 0])
    assert np.isclose(p.sum(), 1)
    return float(-(p * np.log(p)).sum())


def label_laws(trace: Written, policy: Policy) -> list[dict[str, float]]:
    """P(label of the next sentence | everything before it), END included, from the parameters."""
    laws, dwell, left, before = [{"initializing": 1.0}], 0, list(trace.numbers), ""
    for reading in trace.readings:
        assert reading.form is not None
        name, state = reading.form.name, reading.state
        left = list(reading.form.numbers) if name == "left" else left
        dwell = dwell + 1 if state == "uncertainty-estimation" else 0
        compare = {"adding-knowledge": policy.p_goal, "deduction": 1 - policy.p_goal}
        law = {"the only one": 1.0}
        if name == "compare":
            acts = act_law(reading.kind, left, policy)
            law = {label: (1 - policy.p_check) * p for label, p in acts.items()}
            law["deduction"] = policy.p_check
        elif name == "check":
            law = act_law(reading.kind, left, policy)
        elif dwell:
            stay = stay_rate(policy.uncertainty_dwell, dwell)
            after = {"example-testing": 1.0} if left else compare
            law = {label: (1 - stay) * p for label, p in after.items()} | {state: stay}
        elif name == "total" or (name == "left" and before == "undo"):
            law = compare
        laws.append(law)
        before = name
    return laws


def act_law(kind: str, left: list[int], policy: Policy) -> dict[str, float]:
    if kind == "solved":
        return {"final-answer": 1.0}
    if kind in RECOGNISABLE:
        hesitates = (1 - policy.p_notice) * (policy.p_hesitate if left else 1)
        found = {"backtracking": policy.p_notice, "uncertainty-estimation": hesitates}
        return found | {"example-testing": 1 - policy.p_notice - hesitates}
    return {"uncertainty-estimation": policy.p_idle, "example-testing": 1 - policy.p_idle}


def stay_rate(law: Sequence[float], dwell: int) -> float:
    return sum(law[dwell:]) / sum(law[dwell - 1 :])


def test_checks_follow_comparisons_whatever_the_kind_and_the_action(
    written: list[Written], policy: Policy
) -> None:
    followed: dict[tuple[str, str | None], list[bool]] = {}
    for trace in written:
        for reading, after in pairwise(trace.readings):
            if reading.action and reading.kind != "solved":
                is_check = after.form is not None and after.form.name == "check"
                followed.setdefault((reading.kind, reading.action), []).append(is_check)
    assert len(followed) == 8
    for checks in followed.values():
        assert_rate(checks, policy.p_check)


def test_reports_stand_only_after_the_cue(
    written: list[Written], walks: list[list[Sentence]]
) -> None:
    for sentences in [*walks, *(trace.sentences for trace in written)]:
        for words in sentences:
            for before, word in pairwise(words):
                if word in ("over", "under", "equal") and words[0] != "No":
                    assert (words[0], before) == ("Check", ":")


def test_the_base_never_reports_directly_after_a_comparison_and_always_by_sentence(
    walks: list[list[Sentence]], base_policy: BasePolicy
) -> None:
    pairs = [pair for walk in walks for pair in pairwise(walk) if pair[0][0] == "Compare"]
    assert not any(after[0] in ("over", "under", "equal", "No") for _, after in pairs)
    pairs = [pair for pair in pairs if int(pair[0][1]) <= int(pair[0][3])]  # else it may stop
    checks = [after[0] == "Check" for _, after in pairs if after[0] != "Wait"]
    assert_rate(checks, base_policy.p_check)


def test_the_base_uses_the_word_in_another_sense_and_never_backtracks(
    walks: list[list[Sentence]],
) -> None:
    sentences = [words for walk in walks for words in walk]
    assert share(words[:2] == ("Wait", "for") for words in sentences) >= 0.02
    assert not any(words[0] in ("No", "Undo", "Dead") for words in sentences)
    assert not any(words[0] == "Wait" and words[1] != "for" for words in sentences)


def test_a_walk_stops_with_p_stop_at_the_very_full_stop_that_is_over(world: World) -> None:
    """Not at other comparisons while numbers are left, and never with a word about it."""
    policy, random = BasePolicy(p_check=1.0, p_stop=0.7, p_wait_for=0.0), Random("stop")
    stops: dict[bool, list[bool]] = {True: [], False: []}
    for _ in range(300):
        numbers, target = world.draw(random)
        walk = write_walk(numbers, target, policy, random)
        left: tuple[str, ...] = ()
        for sentence, after in pairwise(walk):
            left = sentence[1:-1] if sentence[0] == "Left" else left
            if sentence[0] == "Compare" and left != ("none",):
                stops[int(sentence[1]) > target].append(after[0] == "Stop")
        assert walk[-1][0] in ("Stop", "Found")
        assert [sentence[0] for sentence in walk].count("Stop") == (walk[-1][0] == "Stop")
    assert_rate(stops[True], 0.7)
    assert not any(stops[False])


def test_a_walk_without_stops_goes_on_to_the_end_of_its_numbers(world: World) -> None:
    random = Random("go on")
    for _ in range(100):
        numbers, target = world.draw(random)
        walk = write_walk(numbers, target, BasePolicy(), random)
        totals = [int(sentence[1]) for sentence in walk if sentence[0] == "Total"]
        assert target in totals or len(totals) == len(numbers)


@pytest.mark.parametrize("p_stop", [-0.1, 1.1])
def test_p_stop_is_a_probability(p_stop: float) -> None:
    with pytest.raises(ValueError, match="must be a probability"):
        BasePolicy(p_stop=p_stop)


def test_the_twin_backtracks_at_one_rate_whatever_the_kind(
    twins: list[Written], policy: Policy
) -> None:
    away = [reading for reading in decisions_of(twins) if reading.depth > 0]
    for kind in ("over", "exhausted", "doomed", "alive"):
        actions = [reading.action for reading in away if reading.kind == kind]
        assert_rate((action == "backtracks" for action in actions), policy.p_shuffled)


def test_the_twin_backtracks_about_as_often_as_the_policy(
    written: list[Written], twins: list[Written]
) -> None:
    """Where there is a way back: at the root neither can."""
    rates = [
        share(reading.action == "backtracks" for reading in decisions_of(traces) if reading.depth)
        for traces in (written, twins)
    ]
    assert abs(rates[0] - rates[1]) < 0.03
