"""The posterior of every kind against sampling, and the token from which on it is certain."""

from collections import defaultdict

import numpy as np
import pytest
from written import Written

from backtracking.domains.organism.policy import Policy
from backtracking.domains.organism.posteriors import DEAD, posteriors_of
from backtracking.domains.organism.solver import KINDS
from backtracking.domains.organism.states import token_states
from backtracking.records.posteriors import Posteriors

NUMBERS, TARGET = (7, 8, 9, 12, 3), 28


def decisions_of(trace: Written) -> Posteriors:
    return posteriors_of(trace.words, trace.numbers, trace.target)


@pytest.mark.slow
def test_posteriors_of_kinds_are_shares_of_sampled_continuations(rewritten: list[Written]) -> None:
    """Prefixes that many traces of one problem share, and the kind that came next in each."""
    outcomes: dict[tuple[str, ...], list[str]] = defaultdict(list)
    stated: dict[tuple[str, ...], list[np.ndarray]] = defaultdict(list)
    for trace in rewritten:
        found, words = decisions_of(trace), trace.words
        kinds = [r.kind for r in trace.readings if r.form and r.form.name == "compare"]
        for kind, start, end in zip(kinds, found.pending, found.end, strict=True):
            for word in range(start, min(end, 60)):
                outcomes[tuple(words[: word + 1])].append(kind)
                stated[tuple(words[: word + 1])].append(found.p_kind[word])
    n_uncertain = 0
    for prefix, seen in outcomes.items():
        if len(seen) < 25:
            continue
        assert np.ptp(stated[prefix], axis=0).max() == 0
        for kind, p in zip(KINDS, stated[prefix][0], strict=True):
            share = np.mean([one == kind for one in seen])
            assert abs(share - p) <= 5 * np.sqrt(p * (1 - p) / len(seen)) + 1e-9
            n_uncertain += 0 < p < 1
    assert n_uncertain >= 20


def test_kinds_sum_to_one_and_to_the_posterior_of_dead_ends(written: list[Written]) -> None:
    for trace in written[:40]:
        found = decisions_of(trace)
        p_dead = found.p_kind[:, [KINDS.index(kind) for kind in DEAD]].sum(axis=1)
        assert p_dead == pytest.approx(_stated(trace), nan_ok=True)
        defined = ~np.isnan(p_dead)
        assert found.p_kind[defined].sum(axis=1) == pytest.approx(1)


def _stated(trace: Written) -> np.ndarray:
    return np.array(token_states(trace.readings, Policy()).p_dead, dtype=np.float64)


def test_it_is_known_from_the_number_on_and_pending_from_the_last_comparison_on() -> None:
    opening = "Start at 0 . Try 9 on 0 . Left 7 8 12 3 . Total 9 . Compare 9 with 28 . "
    opening += "Check : under . "
    deeper = "Try 12 on 9 . Left 7 8 3 . Total 21 . Compare 21 with 28 . "
    last = "Hmm . Try 8 on 21 . Left 7 3 . Total 29 . Compare 29 with 28 . "
    words = [str(word) for word in (opening + deeper + last).split()]
    found = posteriors_of(words, NUMBERS, TARGET)
    assert [words[start] for start in found.start] == ["Compare"] * 3
    assert [words[end - 1] for end in found.end] == ["."] * 3
    # Below 28 whatever is tried: certain at once. Then 7 stays below 28, 8 and 3 too or not.
    assert found.pending.tolist() == [0, words.index("Check") + 4, words.index("Hmm")]
    assert found.known[0] == 0
    assert found.known[2] == words.index("Hmm") + 3
    assert words[found.known[2]] == "8"


def test_a_trace_without_a_comparison_has_no_decision() -> None:
    found = posteriors_of(["Start", "at", "0", ".", "Try", "9"], NUMBERS, TARGET)
    assert found.p_kind.shape == (6, len(KINDS))
    assert [len(one) for one in (found.start, found.end, found.pending, found.known)] == [0] * 4
    assert posteriors_of([], NUMBERS, TARGET).p_kind.shape == (0, len(KINDS))
