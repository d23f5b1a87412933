"""Minimal pairs align, and everything in the donor is true of its target."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
import real_tokenizers
from domains_countdown import Written, make_trace
from tokenizers import Tokenizer

from backtracking.domains.countdown.countdown import Countdown
from backtracking.domains.countdown.world import read_question
from backtracking.domains.domain import ProblemPlan
from backtracking.records.pairs import MinimalPair
from backtracking.records.traces import Trace

R1 = "Okay. Let me try {expression} = {value}. Hmm, no. Let me think about it again, slowly now."


def pairs_of(domain: Countdown, one: Written, tokenizer: Tokenizer) -> list[MinimalPair]:
    found = domain.pairs(one.trace, one.problem, one.reading, tokenizer, Random(1))
    return list(found)


def test_a_donor_is_the_same_search_under_another_target(
    searches: list[Written], written: Countdown, tokenizer: Tokenizer
) -> None:
    seen: Counter[tuple[str, str | None]] = Counter()
    for one in searches:
        numbers, target = read_question(one.problem.prompt)
        for pair in pairs_of(written, one, tokenizer):
            seen[pair.kind, pair.donor_kind] += 1
            if pair.donor_kind is None:
                continue
            assert len(pair.donor_ids) == len(pair.clean_ids)
            asked = tokenizer.decode(pair.donor_ids[: pair.n_prompt])
            again, other = read_question(asked.split("user\n")[1])
            assert again == numbers and other < target
            said = Trace(
                one.trace.trace_id, "p", "test", 0, pair.donor_ids[: pair.n_prompt],
                pair.donor_ids[pair.n_prompt :], "", "length", {},
            )  # fmt: skip
            problem = replace(one.problem, prompt=asked.split("user\n")[1])
            sentences = written.read(said, problem, tokenizer).sentences
            assert all(it.truth and it.truth.valid is not False for it in sentences)
            assert sentences[-1].truth and sentences[-1].truth.kind == "miss"
            assert pair.follow_up("claim")
    assert set(seen) == {("miss", None), ("open_alive", "miss"), ("open_doomed", "miss")}
    assert seen["open_alive", "miss"] > 20


@pytest.mark.parametrize(
    "name",
    [
        "smollm2",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("llama3", "qwen2", "deepseek")),
    ],
)
def test_a_miss_becomes_a_hit_where_the_value_is_the_target(name: str, free: Countdown) -> None:
    tokenizer = real_tokenizers.ALL[name]()
    plain = Countdown(replace(free.section, template="{question}\n"))
    n_pairs = n_tokens = 0
    for problem in plain.problems(ProblemPlan(40, 0, (0.5, 0.2, 0.3), 1)):
        numbers, target = read_question(problem.prompt)
        expression = " + ".join(map(str, numbers))
        text = R1.format(expression=expression, value=sum(numbers))
        trace = make_trace(plain, problem, text, tokenizer, finish="length")
        reading = plain.read(trace, problem, tokenizer)
        for pair in plain.pairs(trace, problem, reading, tokenizer, Random(0)):
            assert pair.kind == "miss"
            if pair.donor_kind:
                n_pairs += 1
                n_tokens += len(pair.changed)
                assert pair.donor_kind == "hit"
                asked = tokenizer.decode(pair.donor_ids[: pair.n_prompt])
                assert read_question(asked) == (numbers, sum(numbers))
    assert n_pairs >= 20
    assert n_tokens == n_pairs or name in ("smollm2", "qwen2")


def test_no_pair_is_made_after_an_error_or_where_the_sentence_tells(
    free: Countdown, tokenizer: Tokenizer
) -> None:
    problem = free.problems(ProblemPlan(3, 0, (0.5, 0.2, 0.3), 1))[0]
    numbers, target = read_question(problem.prompt)
    total = " + ".join(map(str, numbers))
    value = sum(numbers)
    for text in (
        f"So. First {numbers[0]} + {numbers[1]} = 1. Then {total} = {value}. And so it goes on.",
        f"So. Then {total} = {value}, not {target}. And so it goes on, and on and on.",
        f"So. Then {total} = {value}, too big. And so it goes on, and on and on.",
    ):
        trace = make_trace(free, problem, text, tokenizer, finish="length")
        reading = free.read(trace, problem, tokenizer)
        assert list(free.pairs(trace, problem, reading, tokenizer, Random(0))) == []
