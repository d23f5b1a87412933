"""Search traces as the policy writes them, with problems, sentences and splits."""

from dataclasses import dataclass
from random import Random

from tokenizers import Tokenizer

from backtracking.domains.organism.policy import Policy, Writer
from backtracking.domains.organism.posteriors import Decisions, read_decisions
from backtracking.domains.organism.states import words_of
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.records.moments import Moments, read_moments
from backtracking.records.traces import SPLITS, Problem, Trace
from backtracking.stages import label

WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)


@dataclass(frozen=True)
class Searches:
    """Traces of the policy, one a problem, with splits in turn.

    Attributes:
        traces, problems, tokenizer: the traces.
        sentences: their sentences with exact labels.
        decisions: of each trace.
    """

    traces: list[Trace]
    problems: list[Problem]
    tokenizer: Tokenizer
    sentences: Moments
    decisions: list[Decisions]


def write_searches(n: int, seed: int = 0) -> Searches:
    """Traces of n distinct problems."""
    random, wrapped = Random(seed), build_tokenizer()
    by_word = wrapped.get_vocab()
    found: dict[str, tuple[Trace, Problem, Decisions]] = {}
    while len(found) < n:
        numbers, target = WORLD.draw(random)
        split = SPLITS[len(found) % 3]
        problem = make_problem(numbers, target, "study", split)
        sentences = Writer(numbers, target, Policy(), random).write()
        ids = [by_word[word] for sentence in sentences for word in sentence] + [by_word["</s>"]]
        prompt = wrapped(problem.prompt).input_ids
        name = problem.problem_id
        trace = Trace(f"{name}/0", name, split, 0, prompt, ids, "", "stop", {})
        words = words_of(trace, wrapped.backend_tokenizer)
        found.setdefault(name, (trace, problem, read_decisions(words, numbers, target)))
    traces, problems, decisions = (list(column) for column in zip(*found.values(), strict=True))
    params = label.Params("backtracking")
    result = label.run(params, Policy(), traces, problems, wrapped.backend_tokenizer)
    sentences = read_moments(traces, result.sentences)
    return Searches(traces, problems, wrapped.backend_tokenizer, sentences, decisions)
