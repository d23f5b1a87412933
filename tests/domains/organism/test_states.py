"""The exact truth: posteriors against sampling, corrupted sentences, and states of tokens."""

from collections import defaultdict
from functools import cache
from random import Random

import numpy as np
import pytest
from written import Decision, Written

from backtracking.domains.organism.policy import Policy
from backtracking.domains.organism.states import (
    Reading,
    Replay,
    TokenStates,
    is_solved,
    token_states,
)

NUMBERS, TARGET = (7, 8, 9, 12, 3), 28
OPENING = (
    "Start at 0 . Try 9 on 0 . Left 7 8 12 3 . Total 9 . Compare 9 with 28 . "
    "Try 12 on 9 . Left 7 8 3 . Total 21 . Goal 28 . Compare 21 with 28 . Check : under . "
    "Well , fine . Hmm . Try 8 on 21 . Left 7 3 . Total 29 . Compare 29 with 28 . "
)
WAY_BACK = "Wait , 29 is too big . Undo 8 on 21 . Left 7 3 . Compare 21 with 28 . "


def read(text: str) -> list[Reading]:
    return Replay(NUMBERS, TARGET).read(text.split())


def states_of(text: str, policy: Policy) -> TokenStates:
    return token_states(read(text), policy)


def test_posteriors_are_the_shares_of_sampled_continuations(
    rewritten: list[Written], policy: Policy
) -> None:
    """All prefixes that many traces of one problem share, up to their twelfth sentence."""
    outcomes: dict[tuple[str, ...], list[tuple[bool, bool]]] = defaultdict(list)
    stated: dict[tuple[str, ...], set[tuple[float | None, float | None]]] = defaultdict(set)
    for trace in rewritten:
        sentences = tuple(trace.sentences[:12])
        words = tuple(word for sentence in sentences for word in sentence)
        states = posteriors(trace.numbers, trace.target, words, policy)
        owner = [index for index, sentence in enumerate(sentences) for _ in sentence]
        for end, (index, posterior) in enumerate(zip(owner, states, strict=True), start=1):
            outcomes[words[:end]].append(next_decision(trace, index))
            stated[words[:end]].add(posterior)
    assert all(len(found) == 1 for found in stated.values())
    checked = [
        (prefix[-1], dead, acts, *np.mean(seen, axis=0), len(seen))
        for prefix, seen in outcomes.items()
        for dead, acts in stated[prefix]
        if len(seen) >= 25 and dead is not None and acts is not None
    ]
    for word, dead, acts, share_dead, share_acts, n in checked:
        for p, share in ((dead, share_dead), (acts, share_acts)):
            assert abs(share - p) <= 5 * np.sqrt(p * (1 - p) / n) + 1e-9, word
    assert {"Goal", "Hmm", "Left", "Undo", "fine", "big", "Check", "Try"} <= {c[0] for c in checked}
    assert sum(0 < dead < 1 for _, dead, *_ in checked) >= 15


@cache
def posteriors(
    numbers: tuple[int, ...], target: int, words: tuple[str, ...], policy: Policy
) -> list[tuple[float | None, float | None]]:
    states = token_states(Replay(numbers, target).read(list(words)), policy)
    return list(zip(states.p_dead, states.p_backtrack, strict=True))


def next_decision(trace: Written, sentence: int) -> tuple[bool, bool]:
    """Whether the first decision after this sentence is at a dead end, and whether it acts."""
    none = Decision(0, False, False, False)
    found = next((d for d in trace.decisions if d.n_sentences > sentence), none)
    return found.dead, found.acts


def test_posteriors_are_calibrated_on_whole_traces_by_form(
    written: list[Written], policy: Policy
) -> None:
    misses: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for trace in written:
        states = token_states(trace.readings, policy)
        for index, reading in enumerate(trace.readings):
            dead, _ = next_decision(trace, index)
            for position in range(reading.start, reading.end):
                p = states.p_dead[position]
                if p is not None and reading.form is not None:
                    key = (reading.form.name, position - reading.start)
                    misses[key].append((dead - p, p * (1 - p)))
    for key, rows in misses.items():
        missed, variance = np.sum(rows, axis=0)
        assert abs(missed) <= 5 * np.sqrt(variance) + 1e-9, key
    assert len(misses) > 40


def test_the_posterior_is_open_before_a_number_is_chosen_and_known_from_there() -> None:
    states = states_of(OPENING, Policy())
    words = OPENING.split()
    third_try = [index for index, word in enumerate(words) if word == "Try"][2]
    assert words[third_try + 1] == "8"
    # From 21, with 7, 8 and 3 left: 28 is reached, 29 and 24 are left; only 29 is a dead end.
    assert states.p_dead[third_try] == pytest.approx(1 / 3)
    assert states.p_dead[third_try - 1] == pytest.approx(1 / 3)
    assert states.p_dead[third_try + 1 :] == [1.0] * (len(words) - third_try - 1)
    assert states.p_backtrack[-1] == Policy().p_notice


def corrupt(text: str, right: str, wrong: str) -> list[tuple[str, int]]:
    """What is found wrong, and in which sentence from the end, where the last one is altered."""
    assert text.endswith(right)
    readings = read(text.removesuffix(right) + wrong)
    return [(r.check, len(readings) - i) for i, r in enumerate(readings) if not r.valid]


@pytest.mark.parametrize(
    ("text", "wrong", "check"),
    [
        ("Start at 0 . Try 9 on 0 . Left 7 8 12 3 . Total 9 .", "Total 10 .", "sum"),
        (OPENING + "Try 7 on 29 .", "Try 12 on 29 .", "number"),
        (OPENING + "Try 7 on 29 .", "Try 7 on 21 .", "number"),
        (OPENING + "Wait , 29 is too big . Undo 8 on 21 .", "Undo 8 on 9 .", "parent"),
        (OPENING + "Wait , 29 is too big . Undo 8 on 21 .", "Undo 12 on 21 .", "parent"),
        (OPENING + "Wait , 29 is too big . Undo 8 on 21 . Left 7 3 .", "Left 3 .", "left"),
        (OPENING + "Wait , 29 is too big .", "Wait , 28 is too big .", "claim"),
        (OPENING + "No , that is over .", "No , none left .", "claim"),
        (OPENING + "Hmm .", "Well , fine .", "claim"),
        (OPENING + WAY_BACK + "Well , fine .", "No , that is over .", "claim"),
        (OPENING + WAY_BACK, "Compare 22 with 28 .", "comparison"),
        (OPENING + WAY_BACK, "Compare 21 with 27 .", "comparison"),
        (OPENING + WAY_BACK + "Goal 28 .", "Goal 27 .", "claim"),
        (OPENING + WAY_BACK + "Check : under .", "Check : over .", "report"),
        (OPENING + WAY_BACK + "Hmm .", "Found 28 .", "claim"),
        (OPENING + WAY_BACK + "Hmm .", "Give up .", "claim"),
        (OPENING + WAY_BACK + "Hmm .", "Hmm hmm .", "parse"),
        (OPENING + WAY_BACK + "Hmm .", "Undo 8", "parse"),
    ],
)
def test_a_corrupted_sentence_is_found_as_exactly_that(text: str, wrong: str, check: str) -> None:
    sentences = [f"{part.strip()} ." for part in text.split(" .") if part.strip()]
    text = " ".join(sentences)
    assert all(reading.valid for reading in read(text))
    assert corrupt(text, sentences[-1], wrong) == [(check, 1)]


def test_a_corrupted_sentence_anywhere_in_a_trace_of_the_policy_is_the_first_wrong_one(
    written: list[Written],
) -> None:
    random = Random(3)
    swaps = {"Total": "sum", "Compare": "comparison", "Try": "number", "Left": "left"}
    for trace in written[:60]:
        places = [i for i, s in enumerate(trace.sentences) if s[0] in swaps and s[1] != "none"]
        place = random.choice(places)
        head, number, *rest = trace.sentences[place]
        wrong = (head, str(int(number) + 13), *rest)
        sentences = [*trace.sentences[:place], wrong, *trace.sentences[place + 1 :]]
        words = [word for sentence in sentences for word in sentence]
        readings = Replay(trace.numbers, trace.target).read(words)
        first = next(index for index, reading in enumerate(readings) if not reading.valid)
        assert (first, readings[first].check) == (place, swaps[head])


def test_a_wrong_total_is_an_error_of_the_writer_and_never_of_the_truth() -> None:
    right = "Start at 0 . Try 9 on 0 . Left 7 8 12 3 . Total 9 . Compare 9 with 28 . "
    wrong = right.replace("Total 9", "Total 30").replace("Compare 9", "Compare 30")
    last, other = read(right)[-1], read(wrong)[-1]
    assert (last.kind, last.true_total) == (other.kind, other.true_total) == ("alive", 9)
    assert (last.written_total, other.written_total) == (9, 30)
    claim = read(wrong + "Wait , 30 is too big . ")[-1]
    assert (claim.check, claim.valid, claim.kind) == ("claim", True, "alive")


def test_an_action_is_what_follows_the_comparison_with_checks_passed_over() -> None:
    def last_action(following: str) -> str | None:
        readings = read(OPENING + following)
        compares = [r for r in readings if r.form and r.form.name == "compare"]
        return compares[-1].action

    assert last_action("Check : over . Undo 8 on 21 . ") == "backtracks"
    assert last_action("No , that is over . ") == "backtracks"
    assert last_action("Well , fine . ") == "idles"
    assert last_action("Hmm . Try 7 on 29 . ") == "carries_on"
    assert last_action("Check : over . ") is None
    assert last_action("") is None
    assert last_action("Wait for 7 . ") == "carries_on"


def test_token_states_are_parallel_and_one_per_word(written: list[Written], policy: Policy) -> None:
    for trace in written[:40]:
        states = token_states(trace.readings, policy)
        assert {len(column) for column in vars(states).values()} == {len(trace.words)}


def test_tokens_carry_state_sum_depth_and_parent() -> None:
    states = states_of(OPENING + WAY_BACK, Policy())
    words = (OPENING + WAY_BACK).split()
    big = words.index("big")
    assert states.state[big] == "backtracking"
    assert (states.true_total[big], states.depth[big], states.parent[big]) == (29, 3, 21)
    assert (states.kind[big], states.kind[-1]) == ("over", "alive")
    assert (states.true_total[-1], states.depth[-1], states.parent[-1]) == (21, 2, 9)


def test_steps_to_backtracking_count_words_to_the_next_such_sentence() -> None:
    states = states_of(OPENING + WAY_BACK, Policy())
    words = (OPENING + WAY_BACK).split()
    begins = [len(OPENING.split()), words.index("Undo")]
    for position, steps in enumerate(states.steps_to_backtracking):
        ahead = [begin - position for begin in begins if begin >= position]
        assert steps == (ahead[0] if ahead else None)


def test_a_trace_is_solved_where_it_finds_the_target_and_truly_stands_on_it(
    written: list[Written],
) -> None:
    found = [trace for trace in written[:50] if trace.sentences[-1][0] == "Found"]
    assert all(is_solved(trace.readings) for trace in found)
    false = "Start at 0 . Try 9 on 0 . Left 7 8 12 3 . Total 28 . Compare 28 with 28 . Found 28 ."
    assert read(false)[-1].valid
    assert not is_solved(read(false))
    assert not is_solved([])
