"""Traces of the organism, some of them spoilt, and what the domain reads of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from searches import WORLD, write_searches
from tokenizers import Tokenizer

from backtracking.domains.domain import Reading
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.labels.deciding import decisions_of
from backtracking.records.decisions import EXACT, Decisions, Sentences
from backtracking.records.traces import Problem, Trace

ORGANISM = Organism(WORLD, Policy(), BasePolicy())


@dataclass(frozen=True)
class Study:
    """Traces with what the domain reads of them."""

    traces: list[Trace]
    problems: list[Problem]
    tokenizer: Tokenizer
    readings: list[Reading]

    @property
    def sentences(self) -> Sentences:
        records = [one for reading in self.readings for one in reading.sentences]
        return Sentences.gather(records, self.traces, ORGANISM.kinds, EXACT)

    @property
    def decisions(self) -> Decisions:
        both = zip(self.traces, self.readings, strict=True)
        records = [d for trace, one in both for d in decisions_of(trace, one.sentences, EXACT)]
        return Decisions.gather(records, self.traces, ORGANISM.kinds)


def write_study(n: int, seed: int = 0) -> Study:
    """Traces of n problems: as the policy writes them, cut short, and with words exchanged."""
    written, random = write_searches(n, seed), Random(seed)
    traces = []
    for number, trace in enumerate(written.traces):
        ids = list(trace.token_ids)
        if number % 3 == 1:
            ids = ids[: random.randrange(1, len(ids))]
        if number % 3 == 2:
            for _ in range(4):
                at = random.randrange(len(ids) - 1)
                ids[at] = random.choice(ids[:-1])
        reason = "length" if number % 3 == 1 else "stop"
        traces.append(replace(trace, token_ids=ids, finish_reason=reason))
    return read_study(traces, written.problems, written.tokenizer)


def read_study(traces: Sequence[Trace], problems: Sequence[Problem], tokenizer: Tokenizer) -> Study:
    """What the domain reads of traces."""
    problem_by_id = {problem.problem_id: problem for problem in problems}
    readings = [
        ORGANISM.read(trace, problem_by_id[trace.problem_id], tokenizer, with_laws=True)
        for trace in traces
    ]
    return Study(list(traces), list(problems), tokenizer, readings)
