"""The law of the next state, against what the policy's traces do."""

from collections import defaultdict

import numpy as np
import pytest
from written import Written

from backtracking.domains.organism.grammar import parse_sentence
from backtracking.domains.organism.next_state import END, OUTCOMES, next_state_laws
from backtracking.domains.organism.policy import Policy


def laws_and_outcomes(trace: Written, policy: Policy) -> tuple[np.ndarray, list[int], list[str]]:
    """Laws after every sentence of a trace, what followed it, and the sentences' forms."""
    forms = [parse_sentence(sentence) for sentence in trace.sentences]
    laws = next_state_laws(forms, trace.target, policy)
    following = [form.state for form in forms[1:] if form]
    finished = bool(forms[-1]) and forms[-1].name in ("found", "give_up")
    if finished:
        following.append(END)
    return laws, [OUTCOMES.index(one) for one in following], [f.name for f in forms if f]


def test_laws_are_defined_and_sum_to_one_on_all_that_the_policy_writes(
    written: list[Written], policy: Policy
) -> None:
    for trace in written:
        laws, _, _ = laws_and_outcomes(trace, policy)
        assert np.allclose(laws.sum(axis=1), 1.0)


def test_nothing_is_written_that_has_probability_zero(
    written: list[Written], policy: Policy
) -> None:
    for trace in written:
        laws, outcomes, _ = laws_and_outcomes(trace, policy)
        assert (laws[np.arange(len(outcomes)), outcomes] > 0).all()


def test_laws_are_the_frequencies_of_drawn_traces_for_every_form_and_law(
    written: list[Written], rewritten: list[Written], policy: Policy
) -> None:
    """All sentences with the same form and the same law, over all problems."""
    counts: dict[tuple, np.ndarray] = defaultdict(lambda: np.zeros(len(OUTCOMES)))
    for trace in [*written, *rewritten]:
        laws, outcomes, names = laws_and_outcomes(trace, policy)
        for name, law, outcome in zip(names, laws, outcomes, strict=False):
            counts[name, *law.round(9)][outcome] += 1
    checked = 0
    for (_, *law), seen in counts.items():
        p, n = np.array(law), seen.sum()
        assert (abs(seen / n - p) <= 5 * np.sqrt(p * (1 - p) / n) + 1e-9).all()
        checked += n >= 200 and 0 < p.max() < 1
    assert checked >= 8
    assert {name for name, *_ in counts} >= {"compare", "check", "left", "total", "hmm", "fine"}


def test_the_laws_entropy_is_what_traces_cost_under_it(
    written: list[Written], policy: Policy
) -> None:
    costs, entropies = [], []
    for trace in written:
        laws, outcomes, _ = laws_and_outcomes(trace, policy)
        rows = laws[: len(outcomes)]
        costs += list(-np.log(rows[np.arange(len(outcomes)), outcomes]))
        entropies += list(-(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(axis=1))
    error = np.std(np.subtract(costs, entropies)) / np.sqrt(len(costs))
    assert abs(np.mean(costs) - np.mean(entropies)) < 4 * error


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("Compare 29 with 28 .", {"backtracking": 0.54, "uncertainty-estimation": 0.18,
                                  "example-testing": 0.18, "deduction": 0.1}),
        ("Compare 20 with 28 .", {"uncertainty-estimation": 0.1125, "example-testing": 0.7875,
                                  "deduction": 0.1}),
        ("Check : over .", {"uncertainty-estimation": 0.125, "example-testing": 0.875}),
        ("Compare 28 with 28 .", {"final-answer": 0.9, "deduction": 0.1}),
        ("Left none . Compare 9 with 28 .", {"backtracking": 0.54, "deduction": 0.1,
                                             "uncertainty-estimation": 0.36}),
        ("Undo 9 on 0 . Left none . Compare 0 with 28 .", {"final-answer": 0.9, "deduction": 0.1}),
        ("Hmm .", {"uncertainty-estimation": 0.75, "example-testing": 0.25}),
        ("Hmm . Well .", {"uncertainty-estimation": 1 / 3, "example-testing": 2 / 3}),
        ("Left none . Hmm . Well . Hmm .", {"adding-knowledge": 0.25, "deduction": 0.75}),
        ("Found 28 .", {END: 1.0}),
    ],
)  # fmt: skip
def test_a_law_is_what_the_policy_says(text: str, law: dict[str, float]) -> None:
    sentences = [(*part.split(), ".") for part in text.split(" .") if part.strip()]
    found = next_state_laws([parse_sentence(s) for s in sentences], 28, Policy())[-1]
    assert found == pytest.approx([law.get(outcome, 0.0) for outcome in OUTCOMES])


def test_a_prefix_that_the_policy_does_not_write_has_no_law() -> None:
    sentences = [("Wait", "for", "7", "."), ("Hmm", "."), ("Hmm", "."), ("Hmm", "."), ("Hmm", ".")]
    forms = [parse_sentence(sentence) for sentence in sentences]
    laws = next_state_laws([*forms, None], 28, Policy())
    assert np.isnan(laws[[0, 4, 5]]).all()
    assert np.isfinite(laws[1:4]).all()
