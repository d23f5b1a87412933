"""Laws, states of the search and openings, against the grammar, on spoilt traces as well."""

from dataclasses import replace
from random import Random

import numpy as np
from tiny_study import ORGANISM, words, write_study
from written import write

from backtracking.domains.organism.grammar import parse_sentence
from backtracking.domains.organism.next_state import OUTCOMES, next_state_laws
from backtracking.domains.organism.policy import BasePolicy, Policy, write_walk
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import read_prompt
from backtracking.labels.states import STATES
from backtracking.records.traces import Trace

IDS = build_tokenizer().get_vocab()
WORD_BY_ID = {token: word for word, token in IDS.items()}
TOKENIZER = build_tokenizer().backend_tokenizer


def spoilt(trace: Trace, random: Random) -> Trace:
    """The trace with four of its words exchanged."""
    ids = list(trace.token_ids)
    for _ in range(4):
        ids[random.randrange(len(ids) - 1)] = random.choice(ids[:-1])
    return replace(trace, token_ids=ids)


def test_laws_and_search_states_are_those_of_the_grammar() -> None:
    study, random = write_study(12, 2), Random(0)
    problems = {one.problem_id: one for one in study.problems}
    for trace in [*study.traces, *(spoilt(trace, random) for trace in study.traces)]:
        problem = problems[trace.problem_id]
        target = read_prompt(problem.prompt)[1]
        reading = ORGANISM.read(trace, problem, TOKENIZER, with_laws=True)
        forms = [
            parse_sentence([WORD_BY_ID[token] for token in trace.ids[one.start : one.end]])
            for one in reading.sentences
        ]
        assert reading.laws is not None
        assert reading.laws.symbols == (*STATES, "unparsed", OUTCOMES[-1])
        known = np.delete(reading.laws.p, len(STATES), axis=1)
        assert np.array_equal(known, next_state_laws(forms, target, Policy()), equal_nan=True)
        assert np.nansum(reading.laws.p[:, len(STATES)]) == 0
        left, moves = "", ""
        for form, sentence in zip(forms, reading.sentences, strict=True):
            truth = sentence.truth
            assert truth is not None and truth.value is not None and truth.target == target
            if form and form.name == "left":
                left = "".join(f" {number}" for number in sorted(form.numbers))
            elif form and form.name in ("try", "undo"):
                moves += f" {'-' if form.name == 'undo' else ''}{form.numbers[0]}"
            decides = sentence.decides
            assert truth.search_state == (f"{truth.value:.0f}{left}" if decides else None)
            assert truth.history == (moves.strip() if decides else None)


def test_every_sentence_opens_with_its_state_and_the_longest_opening_counts() -> None:
    random = Random(0)
    written = [s for _ in range(60) for s in write((3, 5, 9, 4), 17, Policy(), random).sentences]
    written += [s for _ in range(20) for s in write_walk((3, 5, 9), 12, BasePolicy(), random)]
    state_by_path = {one.path: one.state for one in words().openings}
    for sentence in set(written):
        ids = tuple(IDS[word] for word in sentence)
        fitting = [path for path in state_by_path if ids[: len(path)] == path]
        form = parse_sentence(sentence)
        assert form is not None
        assert state_by_path[max(fitting, key=len)] == form.state
    assert {*state_by_path.values()} == {*STATES}
