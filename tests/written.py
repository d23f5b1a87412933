"""Traces of the organism's policy, with what the writer itself knew: truth without parsing."""

from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from backtracking.domains.organism.policy import Policy, Sentence, Writer
from backtracking.domains.organism.states import Reading, Replay


@dataclass(frozen=True)
class Decision:
    """What the writer knew and did when it had written `n_sentences`."""

    n_sentences: int
    dead: bool
    acts: bool
    at_root: bool


@dataclass
class Recorder(Writer):
    """A writer that notes its own decisions: truth without any parsing."""

    decisions: list[Decision] = field(default_factory=list)

    def _decide(self, path: list) -> bool:
        node, depth, n = path[-1], len(path), len(self.sentences)
        dead = node.total > self.target or not node.left
        goes_on = super()._decide(path)
        self.decisions.append(Decision(n, dead, len(path) < depth, depth == 1))
        return goes_on


@dataclass(frozen=True)
class Written:
    """One trace: the problem, its sentences and the writer's decisions."""

    numbers: tuple[int, ...]
    target: int
    sentences: list[Sentence]
    decisions: list[Decision]

    @cached_property
    def readings(self) -> list[Reading]:
        """What the trace says, read back from its words."""
        return Replay(self.numbers, self.target).read(self.words)

    @property
    def words(self) -> list[str]:
        """All words after the prompt."""
        return [word for sentence in self.sentences for word in sentence]


def write(
    numbers: tuple[int, ...], target: int, policy: Policy, random: Random, shuffled: bool = False
) -> Written:
    """One recorded trace of the policy or its twin."""
    writer = Recorder(numbers, target, policy, random, shuffled)
    return Written(numbers, target, writer.write(), writer.decisions)
