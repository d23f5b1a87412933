"""Traces of the domain countdown, for its tests."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from project import ROOT
from tokenizers import Tokenizer

from backtracking.domains.countdown.countdown import Countdown, Section
from backtracking.domains.countdown.recipes import end_id
from backtracking.domains.countdown.world import read_question
from backtracking.domains.countdown.writer import Writer
from backtracking.domains.domain import ProblemPlan, Reading
from backtracking.models.tokens import token_ids
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params

PLAN = ProblemPlan(60, 0, (0.5, 0.2, 0.3), 3)


@dataclass(frozen=True)
class Written:
    """A trace that the writer wrote, and what it said."""

    problem: Problem
    trace: Trace
    sentences: list[str]
    reading: Reading


def load(path: Path = ROOT / "params.yaml") -> Section:
    return params.load(Section, "countdown", path)


def make_trace(
    domain: Countdown, problem: Problem, text: str, tokenizer: Tokenizer, finish: str = "stop"
) -> Trace:
    end = [end_id(domain.section.end, tokenizer)] if finish == "stop" else []
    return Trace(
        f"{problem.problem_id}/0", problem.problem_id, problem.split, 0,
        domain.prompt(problem, tokenizer), [*token_ids(text, tokenizer), *end], text, finish, {},
    )  # fmt: skip


def write(domain: Countdown, tokenizer: Tokenizer, *, is_shuffled: bool = False) -> list[Written]:
    """Searches of sixty problems."""
    found = []
    for problem in domain.problems(PLAN):
        numbers, target = read_question(problem.prompt)
        random = Random(problem.problem_id)
        writer = Writer(numbers, target, domain.section.writer, random, is_shuffled)
        trace = make_trace(domain, problem, writer.write(), tokenizer)
        reading = domain.read(trace, problem, tokenizer)
        found.append(Written(problem, trace, writer.sentences, reading))
    return found
