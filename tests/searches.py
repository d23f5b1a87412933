"""Search traces as the policy writes them, with problems, splits and what the domain reads."""

from dataclasses import dataclass
from random import Random

from tokenizers import Tokenizer

from backtracking.domains.domain import Reading
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy, Writer
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.labels.deciding import decisions_of
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from backtracking.records.posteriors import Posteriors
from backtracking.records.sentences import EXACT
from backtracking.records.traces import SPLITS, Problem, Trace

WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)
ORGANISM = Organism(WORLD, Policy(), BasePolicy())


@dataclass(frozen=True)
class Searches:
    """Traces of the policy, one a problem, with splits in turn.

    Attributes:
        traces, problems, tokenizer: the traces.
        readings: what the domain reads in each.
    """

    traces: list[Trace]
    problems: list[Problem]
    tokenizer: Tokenizer
    readings: list[Reading]

    @property
    def sentences(self) -> Sentences:
        """Their sentences with exact labels."""
        records = [one for reading in self.readings for one in reading.sentences]
        return Sentences.gather(records, self.traces, ORGANISM.kinds, EXACT)

    @property
    def decisions(self) -> Decisions:
        """Their decisions."""
        both = zip(self.traces, self.readings, strict=True)
        records = [d for trace, one in both for d in decisions_of(trace, one.sentences, EXACT)]
        return Decisions.gather(records, self.traces, ORGANISM.kinds)

    @property
    def posteriors(self) -> dict[str, Posteriors]:
        """What each prefix tells of the decision ahead, by trace."""
        both = zip(self.traces, self.readings, strict=True)
        return {trace.trace_id: one.posteriors for trace, one in both if one.posteriors}


def write_searches(n: int, seed: int = 0) -> Searches:
    """Traces of n distinct problems."""
    random, wrapped = Random(seed), build_tokenizer()
    by_word, tokenizer = wrapped.get_vocab(), wrapped.backend_tokenizer
    found: dict[str, tuple[Trace, Problem]] = {}
    while len(found) < n:
        numbers, target = WORLD.draw(random)
        split = SPLITS[len(found) % 3]
        problem = make_problem(numbers, target, "study", split)
        sentences = Writer(numbers, target, Policy(), random).write()
        ids = [by_word[word] for sentence in sentences for word in sentence] + [by_word["</s>"]]
        prompt = wrapped(problem.prompt).input_ids
        name = problem.problem_id
        trace = Trace(f"{name}/0", name, split, 0, prompt, ids, "", "stop", {})
        found.setdefault(name, (trace, problem))
    traces, problems = (list(column) for column in zip(*found.values(), strict=True))
    readings = [
        ORGANISM.read(*one, tokenizer, with_laws=True) for one in zip(traces, problems, strict=True)
    ]
    return Searches(traces, problems, tokenizer, readings)
