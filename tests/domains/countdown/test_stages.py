"""The stages that ask a domain get along with written searches and with free text."""

from dataclasses import replace

import pytest
import real_tokenizers
from domains_countdown import Written, make_trace

from backtracking.domains.countdown.countdown import Countdown
from backtracking.domains.domain import ProblemPlan
from backtracking.stages.grade import Grader
from backtracking.stages.label import Params, run
from lifeboat.stage.errors import UserError


def test_written_searches_are_labelled_and_graded(
    searches: list[Written], written: Countdown
) -> None:
    tokenizer = real_tokenizers.smollm2()
    traces, problems = [one.trace for one in searches], [one.problem for one in searches]
    params = Params("exact", "backtracking", 1)
    found = run(params, written, traces, [], problems, tokenizer)
    assert found.pairs and found.posteriors is None
    assert set(found.laws or {}) == {one.trace_id for one in traces}
    assert {one.state for one in found.decisions} == {"deduction"}
    assert found.metrics.n_unparsed == 0 and found.metrics.span_coverage == 1
    assert found.metrics.agreement.f1 is not None
    seen = Grader(written, problems, tokenizer, "exact").grade(traces, "sampled").seen
    rates = {name: [o.value for o in seen if o.measure == f"sampled_{name}"] for name in (
        "parsed_trace_rate", "valid_sentence_rate", "solve_rate", "turn_rate_open_alive",
    )}  # fmt: skip
    assert all(rates["parsed_trace_rate"]) and all(rates["valid_sentence_rate"])
    assert sum(rates["solve_rate"]) > 50 and rates["turn_rate_open_alive"]


def test_free_text_is_labelled_and_graded(free: Countdown) -> None:
    tokenizer = real_tokenizers.smollm2()
    problems = free.problems(ProblemPlan(9, 0, (0.4, 0.3, 0.3), 1))
    text = "Okay. I try {} = 0. Hmm, that is wrong. So the answer is \\boxed{{{}}}. It is done."
    traces = [
        make_trace(free, one, text.format(one.answer, one.answer), tokenizer) for one in problems
    ]
    params = Params("rules", "backtracking", 1)
    found = run(params, free, traces, [], problems, tokenizer)
    assert {one.truth.kind for one in found.decisions if one.truth} == {"error", "other"}
    seen = Grader(free, problems, tokenizer, "rules").grade(traces, "sampled").seen
    assert all(one.value for one in seen if one.measure == "sampled_solve_rate")
    assert not [one for one in seen if one.measure == "sampled_turn_rate_live"]
    assert [one for one in seen if one.measure == "sampled_turn_rate_error"]


def test_an_instruction_stands_behind_the_question_of_test_problems(free: Countdown) -> None:
    tokenizer = real_tokenizers.smollm2()
    problems = free.problems(ProblemPlan(12, 0, (0.4, 0.3, 0.3), 3))
    asked = Params("rules", "backtracking", 1, "Check every step.")
    found = run(asked, free, [], [], problems, tokenizer).prompted
    test = [one for one in problems if one.split == "test"]
    assert [one.problem_id for one in found] == [one.problem_id for one in test] != []
    for one, problem in zip(found, test, strict=True):
        plain, text = free.prompt(problem, tokenizer), tokenizer.decode(one.prompt_ids)
        assert text == tokenizer.decode(plain).replace(
            problem.prompt, f"{problem.prompt} Check every step."
        )
    assert not run(replace(asked, instruction=None), free, [], [], problems, tokenizer).prompted


def test_free_text_has_no_exact_labels_and_says_so(free: Countdown) -> None:
    tokenizer = real_tokenizers.smollm2()
    (problem, *_) = problems = free.problems(ProblemPlan(3, 0, (0.4, 0.3, 0.3), 1))
    trace = make_trace(free, problem, "So. That is it. It is done.", tokenizer)
    with pytest.raises(UserError, match="labels of rules alone") as found:
        run(Params("exact", "backtracking", 1), free, [trace], [], problems, tokenizer)
    assert "`exact` needs a domain" in str(found.value)
