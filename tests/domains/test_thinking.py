"""Thinking in every known shape, through the real tokenizers and the overlays' templates.

Opened by the template or by the model, opened twice, never closed, or empty.
"""

from dataclasses import replace

import overlay_models
import pytest
from overlay_models import SHAPES
from project import ROOT

from backtracking.domains.countdown.countdown import Countdown, Section
from backtracking.domains.domain import ProblemPlan
from backtracking.domains.prose import read_prose
from backtracking.models.tokens import token_ids
from backtracking.records import reader
from backtracking.records.traces import Problem
from backtracking.runtime import profile

ENDED, OPENED, NEVER_CLOSED, EMPTY = range(4)
PLAN = ProblemPlan(8, 0, (0.4, 0.3, 0.3), 1)
SPECIAL_IDS = {
    "r1-distill-qwen-1.5b": {"<think>": 151648, "<｜User｜>": 151644, "end": 151643},
    "r1-distill-llama-8b": {"<think>": 128013, "<｜User｜>": 128011, "end": 128001},
    "r1-distill-qwen-14b": {"<think>": 151648, "<｜User｜>": 151644, "end": 151643},
    "qwen3-8b": {"<think>": 151667, "<|im_start|>": 151644, "end": 151645},
}
"""Ids as the published tokenizers have them."""


def domain_of(name: str) -> Countdown:
    return Countdown(reader.decode(Section, profile.values_of(ROOT, name)["countdown"], name))


@pytest.mark.parametrize("name", SHAPES)
def test_the_prompt_is_the_template_with_its_turns_as_single_ids(name: str) -> None:
    domain, tokenizer = domain_of(name), SHAPES[name].tokenizer()
    problem = domain.problems(PLAN)[0]
    ids = domain.prompt(problem, tokenizer)
    for text, id_ in SPECIAL_IDS[name].items():
        assert tokenizer.token_to_id(SHAPES[name].end if text == "end" else text) == id_
    turn = next(text for text in SPECIAL_IDS[name] if text not in ("<think>", "end"))
    assert ids.count(SPECIAL_IDS[name][turn]) == (1 if turn == "<｜User｜>" else 2)
    begins = name != "qwen3-8b"
    assert ids.count(SPECIAL_IDS[name]["<think>"]) == int(begins)
    assert tokenizer.decode(ids, skip_special_tokens=False).count(problem.prompt) == 1


@pytest.mark.parametrize("name", SHAPES)
def test_decisions_fall_inside_the_thinking_whatever_its_shape(name: str) -> None:
    domain, tokenizer = domain_of(name), SHAPES[name].tokenizer()
    problems = domain.problems(PLAN)
    template, end = domain.section.template, domain.section.end
    traces = overlay_models.write_traces(
        problems, template, end, lambda one: domain.prompt(one, tokenizer), tokenizer, 1
    )
    closing = tokenizer.token_to_id("</think>")
    for number, (problem, trace) in enumerate(zip(problems, traces, strict=True)):
        shape = number % 4
        sentences = domain.read(trace, problem, tokenizer).sentences
        assert sentences[-1].end == len(trace.ids) or trace.ids[sentences[-1].end :] == [
            token_ids(end, tokenizer)[0]
        ]
        deciding = [one for one in sentences if one.decides]
        plain = read_prose(trace, tokenizer)  # as domains of which only words tell read it
        assert [one.decides for one in plain] == [one.decides for one in sentences]
        if shape == EMPTY:
            assert not deciding
            continue
        last = trace.ids.index(closing) if closing in trace.ids else len(trace.ids)
        assert deciding and all(one.end <= last for one in deciding)
        kinds = {one.truth.kind for one in deciding if one.truth}
        assert kinds & {"miss", "open_alive", "open_doomed"}


@pytest.mark.parametrize("name", SHAPES)
def test_only_what_comes_after_the_thinking_is_an_answer(name: str) -> None:
    domain, tokenizer = domain_of(name), SHAPES[name].tokenizer()
    problems = [replace(one, answer=answer_of(one)) for one in domain.problems(PLAN)]
    template, end = domain.section.template, domain.section.end
    traces = overlay_models.write_traces(
        problems, template, end, lambda one: domain.prompt(one, tokenizer), tokenizer, 1
    )
    grades = [
        domain.grade(trace, problem, tokenizer).outcome
        for problem, trace in zip(problems, traces, strict=True)
    ]
    by_shape = [grades[shape::4] for shape in range(4)]
    assert set(by_shape[NEVER_CLOSED]) == {"unfinished"}
    for shape in (ENDED, OPENED, EMPTY):
        assert set(by_shape[shape]) == {"right"}


def answer_of(problem: Problem) -> str:
    """The solution that the problem comes with."""
    return problem.answer
